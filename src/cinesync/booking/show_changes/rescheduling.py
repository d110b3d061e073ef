"""Notifies customers of shows that start at another time.

The change itself applies at once, in the transaction of its event. The customers are notified
afterwards, page by page, so that no transaction grows with the number of tickets sold. A row of
`reschedule_notices` stands for a change until all customers are notified, with those who had chosen
their seats before it and paid after it. `reschedules_told` lists the bookings that are done, so
that nobody is notified twice.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from cinesync.booking.model import Move, PricedSeat, Show, Terms
from cinesync.booking.show_changes import store
from cinesync.booking.show_changes.store import RescheduleNotice
from cinesync.booking.shows import store as show_store
from cinesync.chassis import clock
from cinesync.chassis.database import Row, Transaction
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import BookingRescheduled
from cinesync.contracts.movies import ShowChanged

# A payment may arrive this long after its hold has ended.
LATE_PAYMENT: Final = timedelta(minutes=15)
PAUSE: Final = timedelta(seconds=30)


def moves_after(show: Show, change: ShowChanged) -> Sequence[Move]:
    """A show's earlier starts, after this change."""
    if change.starts_at == show.starts_at:
        return show.moves
    return [*show.moves, Move(show.starts_at, show.read_at)]


async def notify_customers(tx: Transaction, terms: Terms, limit: int) -> bool:
    """Notify the next customers of a show that moved far enough; whether there may be more now.

    Far enough is this change, or the sum of all changes since they booked.
    """
    holds_end = timedelta(seconds=terms.hold_seconds * (1 + terms.extensions_max))
    notice = await store.lock_next_notice(tx, holds_end + LATE_PAYMENT)
    if notice is None:
        return False
    show = (await show_store.find_shows(tx, [notice.show_id]))[notice.show_id]
    is_far = abs(notice.starts_at - notice.starts_at_before) >= terms.moved_by
    rows = await store.bookings_to_notify(tx, notice, limit)
    affected = [row for row in rows if is_far or show.is_moved_since(row.created_at, terms)]
    await outbox.append(tx, [_booking_rescheduled(notice, row) for row in affected])
    if len(rows) < limit and notice.is_over:
        await store.delete_notice(tx, notice)
        return True
    await store.insert_notified(tx, notice, [row.booking_id for row in rows])
    if len(rows) < limit:
        await store.postpone(tx, notice, PAUSE)
    return True


def _booking_rescheduled(notice: RescheduleNotice, row: Row) -> BookingRescheduled:
    return BookingRescheduled(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        booking_id=row.booking_id,
        customer_id=row.customer_id,
        show_id=notice.show_id,
        region=notice.region,
        seats=[PricedSeat(**priced).seat for priced in row.seats],
        starts_at_before=notice.starts_at_before,
        starts_at=notice.starts_at,
        ends_at=notice.ends_at,
        revision=notice.revision,
    )
