"""Reads the seats of a show for its live seat map."""

from uuid import UUID

from cinesync.booking import seat_store
from cinesync.booking.seatmap.state import SeatMapSnapshot, SeatOccupancy
from cinesync.booking.shows import store as show_store
from cinesync.booking.shows.cache import ShowCache
from cinesync.chassis.database import Database, Transaction


async def load_snapshot(
    db: Database, show_cache: ShowCache, show_id: UUID
) -> SeatMapSnapshot | None:
    """The show with its taken seats; None if it is unknown."""
    return await db.read(_snapshot, show_cache, show_id)


async def _snapshot(
    tx: Transaction, show_cache: ShowCache, show_id: UUID
) -> SeatMapSnapshot | None:
    show = (await show_store.find_shows(tx, [show_id])).get(show_id)
    if show is None:
        return None
    plan = await show_cache.plan(tx, show.layout_id)
    taken = {
        seat.seat: SeatOccupancy(seat.booking_id, None if seat.is_booked else seat.held_until)
        for seat in await seat_store.taken_seats(tx, [(show.region, show_id)])
    }
    return SeatMapSnapshot(show, plan, taken)
