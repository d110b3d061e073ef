"""Request and response bodies of staff: refunds and lookups."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

import msgspec

from cinesync.booking.admission.rules import AdmittedSeat
from cinesync.booking.bookings.schemas import BookingView, booking_fields
from cinesync.booking.cancellation.store import RefundRecord
from cinesync.booking.model import Terms
from cinesync.booking.schemas import SeatNames
from cinesync.booking.staff.lookup import FoundBooking

AMOUNT_CENTS_MAX: Final = 2**53 - 1

RefundNote = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


class StaffRefundRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Refund and cancel `seats`, or refund `amount_cents` without cancelling, or refund the whole
    booking. The customer reads `reason`. A `refund_id` is carried out once."""

    refund_id: UUID
    reason: RefundNote
    seats: SeatNames | None = None
    amount_cents: Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_CENTS_MAX)] | None = None


class ShowRefundRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Refund a show, `limit` bookings of it within this request. A `refund_id` is carried out
    once."""

    refund_id: UUID
    reason: RefundNote
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50


@dataclass(frozen=True, slots=True)
class StaffBookingView(BookingView):
    """A booking with its customer, its admissions and its refunds."""

    customer_id: UUID
    admitted: Sequence[AdmittedSeat]
    refunds: Sequence[RefundRecord]


class FoundView(msgspec.Struct, frozen=True):
    """The bookings that were found."""

    items: Sequence[StaffBookingView]


def staff_booking_view(one: FoundBooking, terms: Terms) -> StaffBookingView:
    """A booking as staff see it."""
    return StaffBookingView(
        **booking_fields(one.booking, one.show, terms),
        customer_id=one.booking.customer_id,
        admitted=one.admitted,
        refunds=one.refunds,
    )
