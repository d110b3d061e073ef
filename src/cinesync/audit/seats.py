"""I1: every seat is sold at most once, to the booking that its row names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, BigInteger, Text, Uuid

from cinesync.audit.results import CheckOutcome, Findings, ReportRowsRead
from cinesync.audit.sources import PAGE, AuditSources, pages
from cinesync.chassis.database import Database, Transaction, text

CONFIRMED = text(
    "SELECT region, booking_id, show_id, total_cents, CAST(seats AS text) AS seats,"
    " CAST(cancelled_seats AS text) AS cancelled_seats FROM bookings"
    " WHERE booking_id > :after AND state = 'confirmed'"
    " ORDER BY booking_id ASC LIMIT :limit",
    after=Uuid,
    limit=BigInteger,
)
UNMARKED = text(
    "SELECT t.show_id, t.seat, t.booking_id, s.booking_id AS holder"
    " FROM unnest(:regions, :shows, :seats,"
    " :booking_ids) AS t(region, show_id, seat, booking_id)"
    " LEFT JOIN booking_seats s ON s.region = t.region AND s.show_id = t.show_id"
    " AND s.seat = t.seat"
    " WHERE s.booking_id IS NULL OR s.booking_id <> t.booking_id OR s.state <> 'booked'"
    " ORDER BY t.booking_id ASC, t.seat ASC",
    regions=ARRAY(Text),
    shows=ARRAY(Uuid),
    seats=ARRAY(Text),
    booking_ids=ARRAY(Uuid),
)
CONFIRMED_OF = text(
    "SELECT booking_id FROM bookings WHERE state = 'confirmed' AND booking_id = ANY(:booking_ids)",
    booking_ids=ARRAY(Uuid),
)
MARKS = text(
    "SELECT s.region, s.show_id, s.seat, s.state = 'booked' AS is_booked,"
    " COALESCE(b.state = 'confirmed', FALSE) AS is_sold FROM booking_seats s"
    " LEFT JOIN bookings b ON b.region = s.region AND b.booking_id = s.booking_id"
    " WHERE (s.region, s.show_id, s.seat) >"
    " (:region, :show_id, :seat)"
    " ORDER BY s.region ASC, s.show_id ASC, s.seat ASC LIMIT :limit",
    region=Text,
    show_id=Uuid,
    seat=Text,
    limit=BigInteger,
)


class Priced(msgspec.Struct, frozen=True):
    """A seat of a booking."""

    seat: str
    price_cents: int


@dataclass(frozen=True, slots=True)
class Confirmed:
    """A confirmed booking. Its cancelled seats count for the price only."""

    region: str
    booking_id: UUID
    show_id: UUID
    total_cents: int
    seats: Sequence[Priced]
    cancelled: Sequence[Priced]

    @property
    def priced_cents(self) -> int:
        return sum(one.price_cents for one in (*self.seats, *self.cancelled))


@dataclass(frozen=True, slots=True)
class Unmarked:
    """A seat of a booking whose row is not booked for that booking, and whom the row names."""

    show_id: UUID
    seat: str
    booking_id: UUID
    holder: UUID | None


@dataclass(frozen=True, slots=True)
class SeatKey:
    """The key of booking_seats, where a page begins or ends."""

    region: str
    show_id: UUID
    seat: str


FIRST: Final = SeatKey("", UUID(int=0), "")
_priced: Final = msgspec.json.Decoder(list[Priced])


async def check(sources: AuditSources, progress: ReportRowsRead) -> CheckOutcome:
    """Every confirmed booking has its seats and its price; every booked seat has a booking."""
    findings = Findings()
    read = 0
    async for page in pages(sources.booking, _confirmed, lambda one: one.booking_id):
        findings.extend(await _wrong_in(sources.booking, page))
        read += len(page)
        progress(read)
    seats = await _check_marks(sources.booking, findings, lambda count: progress(read + count))
    return findings.outcome(f"{seats} seats booked for {read} bookings", figures={"seats": seats})


async def _confirmed(tx: Transaction, after: UUID, limit: int) -> list[Confirmed]:
    rows = await tx.execute(CONFIRMED, {"after": after, "limit": limit})
    return [
        Confirmed(
            row.region,
            row.booking_id,
            row.show_id,
            row.total_cents,
            _priced.decode(row.seats),
            _priced.decode(row.cancelled_seats),
        )
        for row in rows
    ]


async def _wrong_in(booking: Database, page: Sequence[Confirmed]) -> list[str]:
    wrong = await booking.read(_unmarked, page)
    holders = [one.holder for one in wrong if one.holder is not None]
    confirmed = await booking.read(_confirmed_of, holders) if holders else set()
    return [_finding(one, is_sold=one.holder in confirmed) for one in wrong] + [
        f"{one.booking_id}: booked for another price than its seats add up to"
        for one in page
        if one.total_cents != one.priced_cents
    ]


def _finding(one: Unmarked, *, is_sold: bool) -> str:
    """The finding for a seat. Its row names one booking, so any second booking shows up here."""
    if one.holder is None or one.holder == one.booking_id or not is_sold:
        what = "sold, but not marked as booked for that booking"
        return f"{one.booking_id} seat {one.seat}: {what}"
    both = f"bookings {min(one.booking_id, one.holder)}, {max(one.booking_id, one.holder)}"
    return f"{one.show_id} seat {one.seat}: sold to more than one booking ({both})"


async def _unmarked(tx: Transaction, page: Sequence[Confirmed]) -> list[Unmarked]:
    sold = [(booking, one.seat) for booking in page for one in booking.seats]
    values = {
        "regions": [booking.region for booking, _ in sold],
        "shows": [booking.show_id for booking, _ in sold],
        "seats": [seat for _, seat in sold],
        "booking_ids": [booking.booking_id for booking, _ in sold],
    }
    return [Unmarked(*row) for row in await tx.execute(UNMARKED, values)]


async def _confirmed_of(tx: Transaction, booking_ids: Sequence[UUID]) -> set[UUID]:
    rows = await tx.execute(CONFIRMED_OF, {"booking_ids": list(booking_ids)})
    return {row.booking_id for row in rows}


async def _check_marks(booking: Database, findings: Findings, progress: ReportRowsRead) -> int:
    """Check every row of booking_seats; the number of booked seats."""
    after, seats = FIRST, 0
    while page := await booking.read(_marks, after, PAGE):
        after = page[-1][0]
        for key, is_booked, is_sold in page:
            seats += is_booked
            if is_booked and not is_sold:
                what = "marked as booked without a confirmed booking"
                findings.add(f"{key.show_id} seat {key.seat}: {what}")
        progress(seats)
    return seats


async def _marks(
    tx: Transaction, after: SeatKey, limit: int
) -> Sequence[tuple[SeatKey, bool, bool]]:
    """A page of seats by key: whether each is booked, and whether its booking is confirmed."""
    values = {"region": after.region, "show_id": after.show_id, "seat": after.seat, "limit": limit}
    rows = await tx.execute(MARKS, values)
    return [(SeatKey(r.region, r.show_id, r.seat), r.is_booked, r.is_sold) for r in rows]
