"""How many unpaid seats one e-mail and one address may keep from others."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any
from uuid import UUID

import pytest

from cinesync.booking import service
from cinesync.booking.context import BookingContext
from cinesync.booking.held_limits import store as held_limits_store
from cinesync.booking.held_limits.rules import HeldSeats, is_near
from cinesync.booking.model import (
    AddressHoldsTooMany,
    Booking,
    GivenBackTooMany,
    Terms,
    TooManyHeld,
)
from cinesync.booking.service import Held
from cinesync.booking.show_changes import service as show_changes
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, text
from cinesync.contracts.movies import ShowScheduled
from tests.support.booking import (
    CLIENTS,
    BookingHarness,
    called_off,
    hold_command,
    row,
    scheduled,
    seats_of,
)
from tests.support.portability.profile import Profile

ROWS = "ABCDEFGHIJKLMNOP"
PAUSE_OVER = "UPDATE bookings SET expires_at = expires_at - interval '301 seconds'"


@pytest.fixture
async def show(harness: BookingHarness) -> ShowScheduled:
    """A plan of 160 seats."""
    return await harness.schedule(scheduled(plan()))


def plan() -> list[Any]:
    return [seat for y, name in enumerate(ROWS) for seat in row(name, 10, y=float(y))]


async def fill(harness: BookingHarness, show: ShowScheduled, **who: Any) -> tuple[int, Exception]:
    """Ten at a time, each time as another guest, until refused; how many seats were held."""
    held = 0
    while True:
        who_now = {"is_guest": True, "email_key": clock.new_id(), **who}
        try:
            held += len((await harness.hold(show, best=10, **who_now)).seats)
        except (TooManyHeld, AddressHoldsTooMany, GivenBackTooMany) as refusal:
            return held, refusal


async def test_guests_of_one_email_share_a_limit(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    held, refusal = await fill(harness, show, email_key=clock.new_id())
    assert held == 20
    assert isinstance(refusal, TooManyHeld)
    assert refusal.members["seats_max"] == 20


async def test_no_guest_keeps_the_owner_of_an_email_from_buying(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    email_key = clock.new_id()
    await fill(harness, show, email_key=email_key)
    await harness.hold(show, best=10, email_key=email_key)


async def test_who_was_a_guest_first_and_signs_in_then_has_one_limit(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    email_key, address_key = clock.new_id(), clock.new_id()
    await harness.hold(show, best=10, email_key=email_key, address_key=address_key, is_guest=True)
    account = {
        "email_key": email_key,
        "address_key": address_key,
        "is_guest": False,
        "customer_id": clock.new_id(),
    }
    held, refusal = await fill(harness, show, **account)
    assert held == 10
    assert isinstance(refusal, TooManyHeld)
    assert refusal.members["seats_held"] == 20
    elsewhere = account | {"address_key": clock.new_id()}
    held, _ = await fill(harness, show, **elsewhere)
    assert held == 10, "its own count wherever it is, a guest's only where the guest is"


async def test_what_a_guest_gave_back_counts_for_the_account_that_follows(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    here = {"email_key": clock.new_id(), "address_key": clock.new_id()}
    guest = await harness.hold(show, best=10, is_guest=True, **here)
    await harness.release(guest)
    customer_id = clock.new_id()
    await harness.hold(show, best=10, customer_id=customer_id, **here)
    with pytest.raises(GivenBackTooMany):
        await harness.hold(show, best=10, customer_id=customer_id, **here)


async def test_guests_of_an_email_count_what_its_account_holds(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    email_key = clock.new_id()
    await harness.hold(show, best=10, email_key=email_key)
    held, _ = await fill(harness, show, email_key=email_key)
    assert held == 10


async def test_one_address_cannot_hold_a_hall(harness: BookingHarness, show: ShowScheduled) -> None:
    held, refusal = await fill(harness, show, address_key=clock.new_id())
    assert held == 60
    assert isinstance(refusal, AddressHoldsTooMany)
    assert refusal.status == 429
    assert 600 < refusal.members["retry_after_seconds"] <= 900
    assert "60 seats are held and not paid for" in refusal.detail
    assert "box office" in refusal.detail
    await harness.hold(show, best=10)  # others can


async def test_one_address_cannot_hold_a_little_of_everything(harness: BookingHarness) -> None:
    address_key = clock.new_id()
    harness.terms = Terms(address_seats_max=70)
    shows = [await harness.schedule(scheduled(plan())) for _ in range(2)]
    assert (await fill(harness, shows[0], address_key=address_key))[0] == 60
    held, refusal = await fill(harness, shows[1], address_key=address_key)
    assert held == 10
    assert refusal.members["seats_max"] == 70  # type: ignore[attr-defined]


async def test_a_box_office_fills_a_hall(harness: BookingHarness, show: ShowScheduled) -> None:
    clerk = clock.new_id()
    for _ in range(16):
        await harness.hold(show, best=10, customer_id=clerk, is_staff=True, address_key=None)
    assert len(await harness.seat_rows(show)) == 160


async def test_what_is_paid_for_no_longer_counts(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    who = {"email_key": clock.new_id(), "address_key": clock.new_id(), "is_guest": True}
    for _ in range(8):
        await harness.pay(await harness.hold(show, best=10, **who))
    assert await keys_left(harness) == 0


@pytest.mark.parametrize("ending", ["release", "run_out"])
async def test_seats_that_come_back_unpaid_count_for_a_pause(
    harness: BookingHarness, show: ShowScheduled, ending: str
) -> None:
    address_key = clock.new_id()
    held, _ = await fill(harness, show, address_key=address_key)
    for booking in await live_holds(harness):
        if ending == "release":
            await harness.release(booking)
    if ending == "run_out":
        for table, column in (("bookings", "expires_at"), ("booking_seats", "held_until")):
            await harness.execute(f"UPDATE {table} SET {column} = now() - interval '1 second'")
    assert held == 60
    again, refusal = await fill(harness, show, address_key=address_key)
    assert again == 0
    assert 290 < refusal.members["retry_after_seconds"] <= 300  # type: ignore[attr-defined]
    assert "5 minutes" in refusal.detail  # type: ignore[attr-defined]
    await harness.execute(PAUSE_OVER)
    assert (await fill(harness, show, address_key=address_key))[0] == 60


async def test_without_the_pause_seats_are_held_and_given_back_for_ever(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    harness.terms = Terms(release_pause_seconds=0)
    address_key = clock.new_id()
    for _ in range(3):
        assert (await fill(harness, show, address_key=address_key))[0] == 60
        for booking in await live_holds(harness):
            await harness.release(booking)


async def test_a_customer_who_holds_and_gives_back_in_turns_pauses(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    customer_id = clock.new_id()
    for _ in range(2):
        await harness.release(await harness.hold(show, best=10, customer_id=customer_id))
    with pytest.raises(GivenBackTooMany) as refusal:
        await harness.hold(show, best=10, customer_id=customer_id)
    assert refusal.value.status == 429
    assert 290 < refusal.value.members["retry_after_seconds"] <= 300
    assert "gave back 20 seats" in refusal.value.detail


async def test_a_cancelled_show_costs_nobody_a_pause(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    address_key = clock.new_id()
    await fill(harness, show, address_key=address_key)
    await harness.db.run(show_changes.cancel_shows, [called_off(show)])
    other = await harness.schedule(scheduled(plan()))
    assert (await fill(harness, other, address_key=address_key))[0] == 60


async def test_the_limits_count_within_a_batch(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    address_key = clock.new_id()
    commands = [hold_command(show, best=10, address_key=address_key) for _ in range(8)]
    results = await harness.try_hold(*commands)
    assert [isinstance(result, Held) for result in results] == [True] * 6 + [False] * 2
    assert isinstance(results[-1], AddressHoldsTooMany)


async def test_who_held_seats_is_forgotten_after_the_pause(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    alive = await harness.hold(show, best=2)
    for _ in range(2):
        await harness.release(await harness.hold(show, best=2))
    assert await harness.db.read(held_limits_store.find_ended, 300, 10) == []
    await harness.execute(
        f"{PAUSE_OVER} WHERE booking_id <> :id",
        id=alive.booking_id,
    )
    ended = await harness.db.read(held_limits_store.find_ended, 300, 10)
    assert len(ended) == 2
    await harness.db.run(held_limits_store.forget_keys, [*ended, (alive.region, alive.booking_id)])
    assert await keys_left(harness) == 1


async def test_two_processes_do_not_exceed_a_limit_together(
    harness: BookingHarness, simultaneous_reads: None
) -> None:
    assert sum(await _race(harness, harness.db)) == 60


async def test_without_serializable_they_do(
    harness: BookingHarness, read_committed: Database, simultaneous_reads: None
) -> None:
    assert sum(await _race(harness, read_committed)) == 120


async def test_near_a_limit_what_is_held_is_read_where_it_is_exact(
    harness: BookingHarness, show: ShowScheduled
) -> None:
    """Two processes through their batchers, forty guests each, from one address."""
    contexts = [
        BookingContext(harness.db, harness.terms, TicketSigner("s"), CLIENTS, 1) for _ in range(2)
    ]
    address_key = clock.new_id()
    commands = [
        [
            hold_command(show, f"{name}{n}", f"{name}{n + 1}", address_key=address_key)
            for name in names
            for n in (1, 3, 5, 7, 9)
        ]
        for names in ("ABCDEFGH", "IJKLMNOP")
    ]
    answers = await asyncio.gather(
        *(
            context.holds.hold(one)
            for context, own in zip(contexts, commands, strict=True)
            for one in own
        ),
        return_exceptions=True,
    )
    held = sum(len(one.allocation.seats) for one in answers if isinstance(one, Held))
    assert held == 60
    assert {type(one) for one in answers} == {Held, AddressHoldsTooMany}


def test_only_near_a_limit_is_counted_what_is_held() -> None:
    terms, show = Terms(), scheduled()
    address_key, customer_id = clock.new_id(), clock.new_id()
    plain = [hold_command(show, "A1", "A2") for _ in range(50)]
    assert not is_near(plain, {None: 0}, terms)
    counted = {None: 0, address_key: 13}
    assert not is_near([hold_command(show, "A1", "A2", address_key=address_key)], counted, terms)
    assert is_near([hold_command(show, best=3, address_key=address_key)], counted, terms)
    assert is_near([hold_command(show, "A1", customer_id=customer_id)] * 2, {None: 0}, terms)
    assert is_near([hold_command(show, "A1", customer_id=customer_id)], {None: 2}, terms)
    assert not is_near([hold_command(show, best=10, address_key=None)] * 1, {None: 0}, terms)


async def test_what_is_kept_is_summed_up(harness: BookingHarness, show: ShowScheduled) -> None:
    address_key, email_key = clock.new_id(), clock.new_id()
    who = {"address_key": address_key, "is_guest": True}
    first = await harness.hold(show, best=3, email_key=email_key, **who)
    await harness.hold(await harness.schedule(scheduled(plan())), best=2, **who)
    await harness.pay(await harness.hold(show, best=4, email_key=email_key, **who))
    await harness.release(first)
    wanted = [hold_command(show, "A1", email_key=email_key, address_key=address_key)]
    counted = await harness.db.run_one(held_limits_store.sum_held_seats, wanted, harness.terms)
    assert counted == {None: 3, address_key: 5}
    assert await harness.db.run_one(
        held_limits_store.sum_held_seats, [hold_command(show, "A1")], harness.terms
    ) == {None: 0}


async def _race(harness: BookingHarness, db: Database) -> list[int]:
    """Two processes look at what one address holds, and then both hold sixty seats for it."""
    show = await harness.schedule(scheduled(plan()))
    address_key = clock.new_id()
    chosen = [
        [f"{name}{n}" for name in rows for n in range(1, 11)] for rows in ("ABCDEF", "GHIJKL")
    ]

    async def buy(seats: list[str]) -> int:
        parts = [seats[at : at + 10] for at in range(0, 60, 10)]
        holds = [hold_command(show, *part, address_key=address_key) for part in parts]
        try:
            results = await db.run(service.hold_seats, holds, harness.show_cache, harness.terms)
        except service.BatchRefused as refused:
            results = refused.results
        return sum(len(seats_of(result)) for result in results if isinstance(result, Held))

    return list(await asyncio.gather(*(buy(seats) for seats in chosen)))


@pytest.fixture
async def read_committed(
    harness: BookingHarness, cockroachdb_profile: Profile
) -> AsyncIterator[Database]:
    yield Database(harness.db.pool, harness.db.url, isolation="read_committed")
    # Doing without is the point here.
    cockroachdb_profile.broken = [b for b in cockroachdb_profile.broken if "isolation" not in b]


@pytest.fixture
def simultaneous_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have counted before either of them holds."""
    arrived = 0
    both = asyncio.Event()
    count = held_limits_store.held_seats

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

    monkeypatch.setattr(held_limits_store, "held_seats", count_and_wait)


async def live_holds(harness: BookingHarness) -> list[Booking]:
    return [await harness.find(booking_id) for booking_id in await ids(harness, "state = 'held'")]


async def keys_left(harness: BookingHarness) -> int:
    return len(await ids(harness, "email_key IS NOT NULL OR address_key IS NOT NULL"))


async def ids(harness: BookingHarness, condition: str) -> list[UUID]:
    async def query(tx: Transaction) -> list[UUID]:
        rows = await tx.execute(text(f"SELECT booking_id FROM bookings WHERE {condition}"))
        return [found.booking_id for found in rows]

    return await harness.db.read(query)
