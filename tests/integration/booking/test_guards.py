"""I1 stands on one primary key: with it no seat is sold twice, without it one is."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

import pytest
from sqlalchemy import text

from cinesync.booking import event_handlers, store
from cinesync.booking.model import HoldSeats, SeatTaken
from cinesync.booking.service import Held, HoldResult
from cinesync.booking.store import Claim, Sale
from cinesync.chassis.database import Database, Transaction
from tests.conftest import MakeDatabase
from tests.support.booking import BoxOffice, paid, scheduled, seats_of, wish
from tests.support.portability.profile import Profile

BUYERS = 2


@pytest.fixture
async def office(make_database: MakeDatabase) -> BoxOffice:
    """A database of its own, because a guard is taken out of it."""
    return BoxOffice(await make_database("booking"))


@pytest.fixture
async def hasty(office: BoxOffice, cockroachdb_profile: Profile) -> AsyncIterator[BoxOffice]:
    """The same without SERIALIZABLE: only the primary key is left to decide."""
    yield BoxOffice(Database(office.db.engine, office.db.url, isolation="read_committed"))
    # Doing without is the point here.
    cockroachdb_profile.broken = [b for b in cockroachdb_profile.broken if "isolation" not in b]


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every buyer has looked at the seats before any of them takes one."""
    arrived = 0
    everybody = asyncio.Event()
    look = store.sales_of

    async def look_and_wait(tx: Transaction, show_ids: Iterable[UUID]) -> list[Sale]:
        nonlocal arrived
        seen = await look(tx, show_ids)
        arrived += 1
        if arrived == BUYERS:
            everybody.set()
        await everybody.wait()
        return seen

    monkeypatch.setattr(store, "sales_of", look_and_wait)


async def _claim_unguarded(
    tx: Transaction, claims: Iterable[Claim], state: str, hold_seconds: int
) -> set[Claim]:
    """What the seats looked like a moment ago is believed."""
    claims = set(claims)
    statement = text(
        "INSERT INTO booking_seats (region, show_id, seat, booking_id, state, held_until)"
        " VALUES (:region, :show_id, :seat, :booking_id, :state,"
        " now() + :seconds * interval '1 second')"
    )
    for claim in claims:
        await tx.execute(
            statement,
            {
                "region": claim.region,
                "show_id": claim.show_id,
                "seat": claim.seat,
                "booking_id": claim.booking_id,
                "state": state,
                "seconds": hold_seconds,
            },
        )
    return claims


async def _buy(office: BoxOffice, wishes: Sequence[HoldSeats]) -> list[HoldResult]:
    """All at once, each in a transaction of their own."""
    answers = await asyncio.gather(*(office.try_hold(one) for one in wishes))
    return [result for [result] in answers]


def _sold(results: Sequence[HoldResult]) -> list[str]:
    return sorted(seat for r in results if isinstance(r, Held) for seat in seats_of(r))


async def test_the_primary_key_alone_keeps_a_seat_from_being_sold_twice(
    office: BoxOffice, hasty: BoxOffice, meeting: None
) -> None:
    show = await office.schedule(scheduled())
    results = await _buy(hasty, [wish(show, "A1", "A2") for _ in range(BUYERS)])
    assert _sold(results) == ["A1", "A2"]
    [loser] = [result for result in results if isinstance(result, SeatTaken)]
    assert loser.members["seats"] == ["A1", "A2"]
    assert loser.members["alternatives"]


async def test_without_the_primary_key_the_same_race_sells_a_seat_twice(
    office: BoxOffice, hasty: BoxOffice, meeting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = await office.schedule(scheduled())
    await office.execute("ALTER TABLE booking_seats DROP CONSTRAINT booking_seats_pkey")
    monkeypatch.setattr(store, "claim_seats", _claim_unguarded)
    results = await _buy(hasty, [wish(show, "A1", "A2") for _ in range(BUYERS)])
    assert _sold(results) == ["A1", "A1", "A2", "A2"]


async def test_a_hold_that_loses_one_seat_keeps_none(
    office: BoxOffice, hasty: BoxOffice, meeting: None
) -> None:
    show = await office.schedule(scheduled())
    wishes = [wish(show, "A1", "A2", "A3"), wish(show, "A3", "A4")]
    results = await _buy(hasty, wishes)
    [winner] = [result for result in results if isinstance(result, Held)]
    rows = await office.seat_rows(show)
    assert sorted(rows) == sorted(seats_of(winner))
    assert {booking_id for booking_id, _ in rows.values()} == {winner.pick.hold.hold_id}


async def test_late_money_and_a_new_hold_never_share_a_seat(
    office: BoxOffice, hasty: BoxOffice
) -> None:
    """Whoever comes first; the other hears of it."""
    for _ in range(5):
        show = await office.schedule(scheduled())
        late = await office.hold(show, "A1", "A2")
        await office.run_out(late)
        _, [result] = await asyncio.gather(
            hasty.db.run(event_handlers.confirm_bookings, [paid(late)]),
            hasty.try_hold(wish(show, "A1", "A2")),
        )
        rows = await office.seat_rows(show)
        [(owner, state)] = set(rows.values())
        money_back = [e.hold_id for e in await office.told("booking.refused")]
        if isinstance(result, Held):
            assert (owner, state) == (result.pick.hold.hold_id, "held")
            assert late.booking_id in money_back
        else:
            assert (owner, state) == (late.booking_id, "booked")
            assert late.booking_id not in money_back
