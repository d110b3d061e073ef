"""Request and response bodies of a customer's bookings."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec

from cinesync.booking.bookings.receipt_store import BookingReceipt
from cinesync.booking.bookings.service import OwnBooking
from cinesync.booking.bookings.store import Spending
from cinesync.booking.cancellation.store import RefundRecord
from cinesync.booking.model import Booking, PricedSeat, Show, Terms
from cinesync.booking.payments.store import RefusedPayment
from cinesync.booking.schemas import SeatNames

CUSTOMERS_MAX: Final = 500


class CancelRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The `seats` of a booking to cancel; without them, all."""

    seats: SeatNames | None = None


@dataclass(frozen=True, slots=True)
class BookingView:
    """A booking with all that a ticket shows. `refund_state` is one of none, pending, refunded.

    `cancelled_seats` were cancelled one by one; `cancel_reason` is one of customer, staff, show,
    and `cancel_note` is the explanation for the customer. `booked_starts_at` is the start that was
    announced at booking; with `is_moved`, the booking can be cancelled until the new start.
    """

    booking_id: UUID
    status: str
    show_id: UUID
    movie_id: UUID
    movie_title: str
    theater_id: UUID
    theater_name: str
    city: str
    time_zone: str
    auditorium_name: str
    format: str
    language: str
    starts_at: datetime
    ends_at: datetime
    seats: Sequence[str]
    priced_seats: Sequence[PricedSeat]
    total_cents: int
    currency: str
    created_at: datetime
    expires_at: datetime
    confirmed_at: datetime | None
    late: bool
    payment_id: UUID | None
    payment_failure: str | None
    cancel_until: datetime
    cancelled_at: datetime | None
    cancel_reason: str | None
    refund_cents: int
    refunded_cents: int
    refund_state: str
    cancelled_seats: Sequence[PricedSeat]
    cancel_note: str | None
    booked_starts_at: datetime
    is_moved: bool


@dataclass(frozen=True, slots=True)
class BookingDetail(BookingView):
    """A booking with its ticket (while it is confirmed), its payments that were refused and are
    refunded, its `refunds`, and its place in the ledger: `receipt` is set shortly after the
    confirmation.
    """

    ticket: str | None
    refused_payments: Sequence[RefusedPayment]
    receipt: BookingReceipt | None
    refunds: Sequence[RefundRecord]


class TicketView(msgspec.Struct, frozen=True):
    """One seat's ticket: `ticket` is the token for scanners, `ticket_id` its `jti`."""

    ticket_id: str
    seat: str
    ticket: str


@dataclass(frozen=True, slots=True)
class MonthView:
    """`month` is written 2026-11, in UTC. Cancelled bookings and seats are not counted; refunds are
    subtracted from `spent_cents`."""

    month: str
    currency: str
    booking_count: int
    cancelled_count: int
    seat_count: int
    spent_cents: int
    refund_cents: int


@dataclass(frozen=True, slots=True)
class StatsView:
    """What the caller has bought so far; the newest month first."""

    booking_count: int
    cancelled_count: int
    seat_count: int
    months: Sequence[MonthView]


class BuyersRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The customers in question."""

    customer_ids: Annotated[tuple[UUID, ...], msgspec.Meta(max_length=CUSTOMERS_MAX)]


class BuyersView(msgspec.Struct, frozen=True):
    """Those who have bought something, cancelled or not."""

    customer_ids: Sequence[UUID]


def booking_fields(it: Booking, show: Show, terms: Terms) -> dict[str, Any]:
    """The fields of BookingView: computed ones, and those of the same name in booking or show."""
    computed = {
        "seats": it.seat_names,
        "priced_seats": it.seats,
        "cancel_until": show.cancel_until(terms, it.created_at),
        "cancel_note": it.cancel_note or (show.cancel_reason if show.cancelled else None),
        "booked_starts_at": show.starts_at_when(it.created_at),
        "is_moved": show.is_moved_since(it.created_at, terms),
    }
    names = [field.name for field in fields(BookingView) if field.name not in computed]
    return computed | {name: getattr(it if hasattr(it, name) else show, name) for name in names}


def booking_view(it: Booking, show: Show, terms: Terms) -> BookingView:
    """A booking in a customer's list."""
    return BookingView(**booking_fields(it, show, terms))


def booking_detail(found: OwnBooking, terms: Terms, ticket: str | None) -> BookingDetail:
    """A booking with everything that belongs to it."""
    return BookingDetail(
        **booking_fields(found.booking, found.show, terms),
        ticket=ticket,
        refused_payments=found.refused_payments,
        receipt=found.receipt,
        refunds=found.refunds,
    )


def stats_view(months: Sequence[Spending]) -> StatsView:
    """Counts over all months, and the months with money by currency."""
    return StatsView(
        booking_count=sum(month.booking_count for month in months),
        cancelled_count=sum(month.cancelled_count for month in months),
        seat_count=sum(month.seat_count for month in months),
        months=[
            MonthView(
                month=month.month.strftime("%Y-%m"),
                currency=month.currency,
                booking_count=month.booking_count,
                cancelled_count=month.cancelled_count,
                seat_count=month.seat_count,
                spent_cents=month.spent_cents,
                refund_cents=month.refund_cents,
            )
            for month in months
        ],
    )
