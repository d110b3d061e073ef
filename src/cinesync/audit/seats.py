"""I1: every seat that is sold is sold once, to the booking that it is marked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from cinesync.audit.books import PAGE, Books, pages
from cinesync.audit.results import Findings, Outcome, Progress
from cinesync.chassis.db import Database, Transaction, text

# A page of bookings, and what is wrong with any of its seats. The key of booking_seats lets a seat
# belong to one booking, so a second one that is confirmed for it is always found here.
SEATS_OF_BOOKINGS: Final = (
    "SELECT CAST(b.show_id AS text) AS show, e.value ->> 'seat' AS seat, b.booking_id,"
    " s.booking_id AS holder, o.state AS holder_state"
    " FROM bookings b CROSS JOIN LATERAL jsonb_array_elements(b.seats) AS e(value)"
    " LEFT JOIN booking_seats s ON s.region = b.region AND s.show_id = b.show_id"
    " AND s.seat = e.value ->> 'seat'"
    " LEFT JOIN bookings o ON o.region = s.region AND o.booking_id = s.booking_id"
    " WHERE b.booking_id > CAST(:after AS uuid) AND b.booking_id <= CAST(:last AS uuid)"
    " AND b.state = 'confirmed' AND (s.booking_id IS NULL OR s.booking_id <> b.booking_id"
    " OR s.state <> 'booked') ORDER BY b.booking_id ASC"
)
PRICES_OF_BOOKINGS: Final = (
    "SELECT b.booking_id FROM bookings b"
    " WHERE b.booking_id > CAST(:after AS uuid) AND b.booking_id <= CAST(:last AS uuid)"
    " AND b.state = 'confirmed' AND b.total_cents <>"
    " (SELECT COALESCE(sum(CAST(e.value ->> 'price_cents' AS bigint)), 0)"
    " FROM jsonb_array_elements(b.seats || b.cancelled_seats) AS e(value))"
    " ORDER BY b.booking_id ASC"
)


@dataclass(frozen=True, slots=True)
class SeatKey:
    """Where a page of booking_seats begins or ends."""

    region: str
    show_id: UUID
    seat: str


FIRST: Final = SeatKey("", UUID(int=0), "")


async def check(books: Books, progress: Progress) -> Outcome:
    """Every confirmed booking has its seats and its price; every booked seat has its booking."""
    findings = Findings()
    read = 0
    after = UUID(int=0)
    async for page in pages(books.booking, _confirmed, lambda found: found):
        findings.extend(await _wrong_in(books.booking, after, page[-1]))
        after = page[-1]
        read += len(page)
        progress(read)
    seats = await _check_marks(books.booking, findings, lambda count: progress(read + count))
    return findings.outcome(f"{seats} seats booked for {read} bookings", figures={"seats": seats})


async def _confirmed(tx: Transaction, after: UUID, limit: int) -> list[UUID]:
    statement = text(
        "SELECT b.booking_id FROM bookings b"
        " WHERE b.booking_id > CAST(:after AS uuid) AND b.state = 'confirmed'"
        " ORDER BY b.booking_id ASC LIMIT CAST(:limit AS bigint)"
    )
    rows = await tx.execute(statement, {"after": after, "limit": limit})
    return [row.booking_id for row in rows]


async def _wrong_in(booking: Database, after: UUID, last: UUID) -> list[str]:
    return await booking.read(_wrong_seats, after, last) + await booking.read(
        _wrong_prices, after, last
    )


async def _wrong_seats(tx: Transaction, after: UUID, last: UUID) -> list[str]:
    rows = await tx.execute(text(SEATS_OF_BOOKINGS), {"after": after, "last": last})
    found = []
    for row in rows:
        if row.holder not in {None, row.booking_id} and row.holder_state == "confirmed":
            others = (
                f"bookings {min(row.booking_id, row.holder)}, {max(row.booking_id, row.holder)}"
            )
            found.append(f"{row.show} seat {row.seat}: sold to more than one booking ({others})")
        else:
            what = "sold, but not marked as booked for that booking"
            found.append(f"{row.booking_id} seat {row.seat}: {what}")
    return found


async def _wrong_prices(tx: Transaction, after: UUID, last: UUID) -> list[str]:
    rows = await tx.execute(text(PRICES_OF_BOOKINGS), {"after": after, "last": last})
    what = "booked for another price than its seats add up to"
    return [f"{row.booking_id}: {what}" for row in rows]


async def _check_marks(booking: Database, findings: Findings, progress: Progress) -> int:
    """How many seats are marked as booked."""
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
    statement = text(
        "SELECT s.region, s.show_id, s.seat, s.state = 'booked' AS is_booked,"
        " COALESCE(b.state = 'confirmed', FALSE) AS is_sold FROM booking_seats s"
        " LEFT JOIN bookings b ON b.region = s.region AND b.booking_id = s.booking_id"
        " WHERE (s.region, s.show_id, s.seat) >"
        " (CAST(:region AS text), CAST(:show_id AS uuid), CAST(:seat AS text))"
        " ORDER BY s.region ASC, s.show_id ASC, s.seat ASC LIMIT CAST(:limit AS bigint)"
    )
    values = {"region": after.region, "show_id": after.show_id, "seat": after.seat, "limit": limit}
    rows = await tx.execute(statement, values)
    return [(SeatKey(r.region, r.show_id, r.seat), r.is_booked, r.is_sold) for r in rows]
