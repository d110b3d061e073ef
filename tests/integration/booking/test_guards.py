"""I1 stands on one primary key: with it no seat is sold twice, without it one is."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from uuid import UUID

import pytest

from cinesync.booking import seat_store
from cinesync.booking.model import HoldSeats, SeatTaken
from cinesync.booking.payments import service as payments
from cinesync.booking.seat_store import Sale, SeatRow
from cinesync.booking.service import Held, HoldResult
from cinesync.chassis.database import Database, Transaction, text
from tests.conftest import MakeDatabase
from tests.support.booking import BookingHarness, hold_command, paid, scheduled, seats_of
from tests.support.portability.profile import Profile

BUYERS = 2


@pytest.fixture
async def harness(make_database: MakeDatabase) -> BookingHarness:
    """A database of its own, because a guard is taken out of it."""
    return BookingHarness(await make_database("booking"))


@pytest.fixture
async def read_committed(
    harness: BookingHarness, cockroachdb_profile: Profile
) -> AsyncIterator[BookingHarness]:
    """The same under READ COMMITTED: only the primary key decides."""
    yield BookingHarness(Database(harness.db.pool, harness.db.url, isolation="read_committed"))
    # Doing without is the point here.
    cockroachdb_profile.broken = [b for b in cockroachdb_profile.broken if "isolation" not in b]


@pytest.fixture
def simultaneous_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every buyer reads the seats before any of them claims one."""
    arrived = 0
    everybody = asyncio.Event()
    look = seat_store.sales_of

    async def look_and_wait(tx: Transaction, show_ids: Iterable[UUID]) -> list[Sale]:
        nonlocal arrived
        seen = await look(tx, show_ids)
        arrived += 1
        if arrived == BUYERS:
            everybody.set()
        await everybody.wait()
        return seen

    monkeypatch.setattr(seat_store, "sales_of", look_and_wait)


async def _claim_unguarded(
    tx: Transaction, claims: Iterable[SeatRow], state: str, hold_seconds: int
) -> set[SeatRow]:
    """Trusts what was read before; claims without the primary key deciding."""
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


async def _buy(harness: BookingHarness, commands: Sequence[HoldSeats]) -> list[HoldResult]:
    """All at once, each in a transaction of their own."""
    answers = await asyncio.gather(*(harness.try_hold(one) for one in commands))
    return [result for [result] in answers]


def _sold(results: Sequence[HoldResult]) -> list[str]:
    return sorted(seat for r in results if isinstance(r, Held) for seat in seats_of(r))


async def test_the_primary_key_alone_keeps_a_seat_from_being_sold_twice(
    harness: BookingHarness, read_committed: BookingHarness, simultaneous_reads: None
) -> None:
    show = await harness.schedule(scheduled())
    results = await _buy(read_committed, [hold_command(show, "A1", "A2") for _ in range(BUYERS)])
    assert _sold(results) == ["A1", "A2"]
    [loser] = [result for result in results if isinstance(result, SeatTaken)]
    assert loser.members["seats"] == ["A1", "A2"]
    assert loser.members["alternatives"]


async def test_without_the_primary_key_the_same_race_sells_a_seat_twice(
    harness: BookingHarness,
    read_committed: BookingHarness,
    simultaneous_reads: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    show = await harness.schedule(scheduled())
    await harness.execute("ALTER TABLE booking_seats DROP CONSTRAINT booking_seats_pkey")
    monkeypatch.setattr(seat_store, "claim_seats", _claim_unguarded)
    results = await _buy(read_committed, [hold_command(show, "A1", "A2") for _ in range(BUYERS)])
    assert _sold(results) == ["A1", "A1", "A2", "A2"]


async def test_a_hold_that_loses_one_seat_keeps_none(
    harness: BookingHarness, read_committed: BookingHarness, simultaneous_reads: None
) -> None:
    show = await harness.schedule(scheduled())
    commands = [hold_command(show, "A1", "A2", "A3"), hold_command(show, "A3", "A4")]
    results = await _buy(read_committed, commands)
    [winner] = [result for result in results if isinstance(result, Held)]
    rows = await harness.seat_rows(show)
    assert sorted(rows) == sorted(seats_of(winner))
    assert {booking_id for booking_id, _ in rows.values()} == {winner.allocation.hold.hold_id}


async def test_late_money_and_a_new_hold_never_share_a_seat(
    harness: BookingHarness, read_committed: BookingHarness
) -> None:
    """Whoever comes first; the other hears of it."""
    for _ in range(5):
        show = await harness.schedule(scheduled())
        late = await harness.hold(show, "A1", "A2")
        await harness.expire_holds(late)
        _, [result] = await asyncio.gather(
            read_committed.db.run(payments.confirm_bookings, [paid(late)]),
            read_committed.try_hold(hold_command(show, "A1", "A2")),
        )
        rows = await harness.seat_rows(show)
        [(owner, state)] = set(rows.values())
        money_back = [e.hold_id for e in await harness.events("booking.refused")]
        if isinstance(result, Held):
            assert (owner, state) == (result.allocation.hold.hold_id, "held")
            assert late.booking_id in money_back
        else:
            assert (owner, state) == (late.booking_id, "booked")
            assert late.booking_id not in money_back
