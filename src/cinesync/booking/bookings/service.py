"""Reads a customer's bookings with everything that belongs to them."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from cinesync.booking import service
from cinesync.booking.bookings import receipt_store, store
from cinesync.booking.bookings.receipt_store import BookingReceipt
from cinesync.booking.cancellation import store as cancellation_store
from cinesync.booking.cancellation.store import RefundRecord
from cinesync.booking.model import Booking, BookingState, Show
from cinesync.booking.payments import store as payment_store
from cinesync.booking.payments.store import RefusedPayment
from cinesync.booking.shows import store as show_store
from cinesync.chassis.database import Transaction


class OwnBooking(NamedTuple):
    """A booking with its show, refused payments, place in the ledger and refunds."""

    booking: Booking
    show: Show
    refused_payments: Sequence[RefusedPayment]
    receipt: BookingReceipt | None
    refunds: Sequence[RefundRecord]


async def list_bookings(
    tx: Transaction,
    customer_id: UUID,
    statuses: Sequence[BookingState],
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> tuple[list[Booking], dict[UUID, Show]]:
    """A page of bookings, the newest first, and their shows."""
    rows = await store.bookings_page(tx, customer_id, statuses, after, limit)
    return rows, dict(await show_store.find_shows(tx, [row.show_id for row in rows]))


async def find_booking(tx: Transaction, booking_id: UUID, customer_id: UUID) -> OwnBooking:
    """Raises UnknownBooking."""
    booking = await service.find_own(tx, booking_id, customer_id)
    show = await service.find_show(tx, booking.show_id)
    refused = await payment_store.refused_payments_of(tx, booking_id)
    receipt = await receipt_store.of_booking(tx, booking_id)
    # Pages poll new bookings, which have no refunds: save them the statement.
    refunds = await cancellation_store.refunds_of(tx, booking_id) if booking.refund_cents else []
    return OwnBooking(booking, show, refused, receipt, refunds)
