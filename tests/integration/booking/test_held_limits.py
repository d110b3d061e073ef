"""How many unpaid seats one e-mail and one address may keep from others."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from cinesync.booking import event_handlers, held_seats_store, service
from cinesync.booking.context import Shop
from cinesync.booking.held_limits import HeldSeats, is_near
from cinesync.booking.model import (
    AddressHoldsTooMany,
    Booking,
    GivenBackTooMany,
    Terms,
    TooManyHeld,
)
from cinesync.booking.service import Held
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction
from cinesync.contracts.movies import ShowScheduled
from tests.support.booking import CLIENTS, BoxOffice, called_off, row, scheduled, seats_of, wish
from tests.support.portability.profile import Profile

ROWS = "ABCDEFGHIJKLMNOP"
PAUSE_OVER = "UPDATE bookings SET expires_at = expires_at - interval '301 seconds'"


@pytest.fixture
async def show(office: BoxOffice) -> ShowScheduled:
    """A hall of 160 seats."""
    return await office.schedule(scheduled(hall()))


def hall() -> list[Any]:
    return [seat for y, name in enumerate(ROWS) for seat in row(name, 10, y=float(y))]


async def fill(office: BoxOffice, show: ShowScheduled, **who: Any) -> tuple[int, Exception]:
    """Ten at a time, each time as another guest, until refused; how many seats were held."""
    held = 0
    while True:
        who_now = {"is_guest": True, "email_key": clock.new_id(), **who}
        try:
            held += len((await office.hold(show, best=10, **who_now)).seats)
        except (TooManyHeld, AddressHoldsTooMany, GivenBackTooMany) as refusal:
            return held, refusal


async def test_guests_of_one_email_share_a_limit(office: BoxOffice, show: ShowScheduled) -> None:
    held, refusal = await fill(office, show, email_key=clock.new_id())
    assert held == 20
    assert isinstance(refusal, TooManyHeld)
    assert refusal.members["seats_max"] == 20


async def test_no_guest_keeps_the_owner_of_an_email_from_buying(
    office: BoxOffice, show: ShowScheduled
) -> None:
    email_key = clock.new_id()
    await fill(office, show, email_key=email_key)
    await office.hold(show, best=10, email_key=email_key)


async def test_who_was_a_guest_first_and_signs_in_then_has_one_limit(
    office: BoxOffice, show: ShowScheduled
) -> None:
    email_key, address_key = clock.new_id(), clock.new_id()
    await office.hold(show, best=10, email_key=email_key, address_key=address_key, is_guest=True)
    account = {
        "email_key": email_key,
        "address_key": address_key,
        "is_guest": False,
        "customer_id": clock.new_id(),
    }
    held, refusal = await fill(office, show, **account)
    assert held == 10
    assert isinstance(refusal, TooManyHeld)
    assert refusal.members["seats_held"] == 20
    elsewhere = account | {"address_key": clock.new_id()}
    held, _ = await fill(office, show, **elsewhere)
    assert held == 10, "its own count wherever it is, a guest's only where the guest is"


async def test_what_a_guest_gave_back_counts_for_the_account_that_follows(
    office: BoxOffice, show: ShowScheduled
) -> None:
    here = {"email_key": clock.new_id(), "address_key": clock.new_id()}
    guest = await office.hold(show, best=10, is_guest=True, **here)
    await office.release(guest)
    customer_id = clock.new_id()
    await office.hold(show, best=10, customer_id=customer_id, **here)
    with pytest.raises(GivenBackTooMany):
        await office.hold(show, best=10, customer_id=customer_id, **here)


async def test_guests_of_an_email_count_what_its_account_holds(
    office: BoxOffice, show: ShowScheduled
) -> None:
    email_key = clock.new_id()
    await office.hold(show, best=10, email_key=email_key)
    held, _ = await fill(office, show, email_key=email_key)
    assert held == 10


async def test_one_address_cannot_hold_a_hall(office: BoxOffice, show: ShowScheduled) -> None:
    held, refusal = await fill(office, show, address_key=clock.new_id())
    assert held == 60
    assert isinstance(refusal, AddressHoldsTooMany)
    assert refusal.status == 429
    assert 600 < refusal.members["retry_after_seconds"] <= 900
    assert "60 seats are held and not paid for" in refusal.detail
    assert "box office" in refusal.detail
    await office.hold(show, best=10)  # others can


async def test_one_address_cannot_hold_a_little_of_everything(office: BoxOffice) -> None:
    address_key = clock.new_id()
    office.terms = Terms(address_seats_max=70)
    shows = [await office.schedule(scheduled(hall())) for _ in range(2)]
    assert (await fill(office, shows[0], address_key=address_key))[0] == 60
    held, refusal = await fill(office, shows[1], address_key=address_key)
    assert held == 10
    assert refusal.members["seats_max"] == 70  # type: ignore[attr-defined]


async def test_a_box_office_fills_a_hall(office: BoxOffice, show: ShowScheduled) -> None:
    clerk = clock.new_id()
    for _ in range(16):
        await office.hold(show, best=10, customer_id=clerk, is_staff=True, address_key=None)
    assert len(await office.seat_rows(show)) == 160


async def test_what_is_paid_for_no_longer_counts(office: BoxOffice, show: ShowScheduled) -> None:
    who = {"email_key": clock.new_id(), "address_key": clock.new_id(), "is_guest": True}
    for _ in range(8):
        await office.pay(await office.hold(show, best=10, **who))
    assert await keys_left(office) == 0


@pytest.mark.parametrize("ending", ["release", "run_out"])
async def test_seats_that_come_back_unpaid_count_for_a_pause(
    office: BoxOffice, show: ShowScheduled, ending: str
) -> None:
    address_key = clock.new_id()
    held, _ = await fill(office, show, address_key=address_key)
    for booking in await live(office):
        if ending == "release":
            await office.release(booking)
    if ending == "run_out":
        for table, column in (("bookings", "expires_at"), ("booking_seats", "held_until")):
            await office.execute(f"UPDATE {table} SET {column} = now() - interval '1 second'")
    assert held == 60
    again, refusal = await fill(office, show, address_key=address_key)
    assert again == 0
    assert 290 < refusal.members["retry_after_seconds"] <= 300  # type: ignore[attr-defined]
    assert "5 minutes" in refusal.detail  # type: ignore[attr-defined]
    await office.execute(PAUSE_OVER)
    assert (await fill(office, show, address_key=address_key))[0] == 60


async def test_without_the_pause_seats_are_held_and_given_back_for_ever(
    office: BoxOffice, show: ShowScheduled
) -> None:
    office.terms = Terms(release_pause_seconds=0)
    address_key = clock.new_id()
    for _ in range(3):
        assert (await fill(office, show, address_key=address_key))[0] == 60
        for booking in await live(office):
            await office.release(booking)


async def test_a_customer_who_holds_and_gives_back_in_turns_pauses(
    office: BoxOffice, show: ShowScheduled
) -> None:
    customer_id = clock.new_id()
    for _ in range(2):
        await office.release(await office.hold(show, best=10, customer_id=customer_id))
    with pytest.raises(GivenBackTooMany) as refusal:
        await office.hold(show, best=10, customer_id=customer_id)
    assert refusal.value.status == 429
    assert 290 < refusal.value.members["retry_after_seconds"] <= 300
    assert "gave back 20 seats" in refusal.value.detail


async def test_a_cancelled_show_costs_nobody_a_pause(
    office: BoxOffice, show: ShowScheduled
) -> None:
    address_key = clock.new_id()
    await fill(office, show, address_key=address_key)
    await office.db.run(event_handlers.cancel_shows, [called_off(show)])
    other = await office.schedule(scheduled(hall()))
    assert (await fill(office, other, address_key=address_key))[0] == 60


async def test_the_limits_count_within_a_batch(office: BoxOffice, show: ShowScheduled) -> None:
    address_key = clock.new_id()
    wishes = [wish(show, best=10, address_key=address_key) for _ in range(8)]
    results = await office.try_hold(*wishes)
    assert [isinstance(result, Held) for result in results] == [True] * 6 + [False] * 2
    assert isinstance(results[-1], AddressHoldsTooMany)


async def test_who_held_seats_is_forgotten_after_the_pause(
    office: BoxOffice, show: ShowScheduled
) -> None:
    alive = await office.hold(show, best=2)
    for _ in range(2):
        await office.release(await office.hold(show, best=2))
    assert await office.db.read(held_seats_store.find_ended, 300, 10) == []
    await office.execute(
        f"{PAUSE_OVER} WHERE booking_id <> :id",
        id=alive.booking_id,
    )
    ended = await office.db.read(held_seats_store.find_ended, 300, 10)
    assert len(ended) == 2
    await office.db.run(held_seats_store.forget, [*ended, (alive.region, alive.booking_id)])
    assert await keys_left(office) == 1


async def test_two_processes_do_not_exceed_a_limit_together(
    office: BoxOffice, meeting: None
) -> None:
    assert sum(await _race(office, office.db)) == 60


async def test_without_serializable_they_do(
    office: BoxOffice, hasty: Database, meeting: None
) -> None:
    assert sum(await _race(office, hasty)) == 120


async def test_near_a_limit_what_is_held_is_read_where_it_is_exact(
    office: BoxOffice, show: ShowScheduled
) -> None:
    """Two processes through their batchers, forty guests each, from one address."""
    shops = [Shop(office.db, office.terms, TicketSigner("s"), CLIENTS, 1) for _ in range(2)]
    address_key = clock.new_id()
    wishes = [
        [wish(show, f"{name}{n}", f"{name}{n + 1}", address_key=address_key) for name in names
         for n in (1, 3, 5, 7, 9)]
        for names in ("ABCDEFGH", "IJKLMNOP")
    ]  # fmt: skip
    answers = await asyncio.gather(
        *(shop.hold(one) for shop, own in zip(shops, wishes, strict=True) for one in own),
        return_exceptions=True,
    )
    held = sum(len(one.pick.seats) for one in answers if isinstance(one, Held))
    assert held == 60
    assert {type(one) for one in answers} == {Held, AddressHoldsTooMany}


def test_only_near_a_limit_is_counted_what_is_held() -> None:
    terms, show = Terms(), scheduled()
    address_key, customer_id = clock.new_id(), clock.new_id()
    plain = [wish(show, "A1", "A2") for _ in range(50)]
    assert not is_near(plain, {None: 0}, terms)
    kept = {None: 0, address_key: 13}
    assert not is_near([wish(show, "A1", "A2", address_key=address_key)], kept, terms)
    assert is_near([wish(show, best=3, address_key=address_key)], kept, terms)
    assert is_near([wish(show, "A1", customer_id=customer_id)] * 2, {None: 0}, terms)
    assert is_near([wish(show, "A1", customer_id=customer_id)], {None: 2}, terms)
    assert not is_near([wish(show, best=10, address_key=None)] * 1, {None: 0}, terms)


async def test_what_is_kept_is_summed_up(office: BoxOffice, show: ShowScheduled) -> None:
    address_key, email_key = clock.new_id(), clock.new_id()
    who = {"address_key": address_key, "is_guest": True}
    first = await office.hold(show, best=3, email_key=email_key, **who)
    await office.hold(await office.schedule(scheduled(hall())), best=2, **who)
    await office.pay(await office.hold(show, best=4, email_key=email_key, **who))
    await office.release(first)
    wanted = [wish(show, "A1", email_key=email_key, address_key=address_key)]
    kept = await office.db.run_one(held_seats_store.kept_by, wanted, office.terms)
    assert kept == {None: 3, address_key: 5}
    assert await office.db.run_one(held_seats_store.kept_by, [wish(show, "A1")], office.terms) == {
        None: 0
    }


async def _race(office: BoxOffice, db: Database) -> list[int]:
    """Two processes look at what one address holds, and then both hold sixty seats for it."""
    show = await office.schedule(scheduled(hall()))
    address_key = clock.new_id()
    chosen = [
        [f"{name}{n}" for name in rows for n in range(1, 11)] for rows in ("ABCDEF", "GHIJKL")
    ]

    async def buy(seats: list[str]) -> int:
        parts = [seats[at : at + 10] for at in range(0, 60, 10)]
        holds = [wish(show, *part, address_key=address_key) for part in parts]
        try:
            results = await db.run(service.hold_seats, holds, office.kept, office.terms)
        except service.NothingHeld as refused:
            results = refused.results
        return sum(len(seats_of(result)) for result in results if isinstance(result, Held))

    return list(await asyncio.gather(*(buy(seats) for seats in chosen)))


@pytest.fixture
async def hasty(office: BoxOffice, cockroachdb_profile: Profile) -> AsyncIterator[Database]:
    yield Database(office.db.engine, office.db.url, isolation="read_committed")
    # Doing without is the point here.
    cockroachdb_profile.broken = [b for b in cockroachdb_profile.broken if "isolation" not in b]


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have counted before either of them holds."""
    arrived = 0
    both = asyncio.Event()
    count = held_seats_store.held_seats

    async def count_and_wait(
        tx: Transaction, emails: Collection[UUID], addresses: Collection[UUID], pause: int
    ) -> list[HeldSeats]:
        nonlocal arrived
        counted = await count(tx, emails, addresses, pause)
        arrived += 1
        if arrived == 2:
            both.set()
        await both.wait()
        return counted

    monkeypatch.setattr(held_seats_store, "held_seats", count_and_wait)


async def live(office: BoxOffice) -> list[Booking]:
    return [await office.find(booking_id) for booking_id in await ids(office, "state = 'held'")]


async def keys_left(office: BoxOffice) -> int:
    return len(await ids(office, "email_key IS NOT NULL OR address_key IS NOT NULL"))


async def ids(office: BoxOffice, condition: str) -> list[UUID]:
    async def query(tx: Transaction) -> list[UUID]:
        rows = await tx.execute(text(f"SELECT booking_id FROM bookings WHERE {condition}"))
        return [found.booking_id for found in rows]

    return await office.db.read(query)
