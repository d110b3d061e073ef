"""What the booking service tells the others: seats, and the bookings made of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from cinesync.chassis.messaging.event import Event


class SeatsHeld(Event, frozen=True, kw_only=True):
    """Seats are kept for one customer until `expires_at`. Patches the live seat maps."""

    name: ClassVar[str] = "seats.held"

    hold_id: UUID
    show_id: UUID
    region: str
    seats: Sequence[str]
    expires_at: datetime


class SeatsReleased(Event, frozen=True, kw_only=True):
    """A customer gave held seats back before the hold expired.

    `hold_goes_on` when they took other seats instead: the hold is not over.
    """

    name: ClassVar[str] = "seats.released"

    hold_id: UUID
    show_id: UUID
    region: str
    seats: Sequence[str]
    hold_goes_on: bool = False


class BookingConfirmed(Event, frozen=True, kw_only=True):
    """Seats are paid for. `late` tells that the hold had expired and the seats were reclaimed."""

    name: ClassVar[str] = "booking.confirmed"

    booking_id: UUID
    payment_id: UUID
    customer_id: UUID
    show_id: UUID
    region: str
    seats: Sequence[str]
    total_cents: int
    currency: str
    late: bool


class BookingCancelled(Event, frozen=True, kw_only=True):
    """A booking ended and its seats are free; `refund_cents` of its payment go back.

    `seats` and `refund_cents` are what it still had: earlier reductions are not told again.
    `reason` is "customer", "staff" or "show"; "provider" or "dispute_lost" when its money had gone
    back without booking's asking.
    """

    name: ClassVar[str] = "booking.cancelled"

    booking_id: UUID
    payment_id: UUID
    customer_id: UUID
    show_id: UUID
    region: str
    seats: Sequence[str]
    refund_cents: int
    currency: str
    reason: str


class BookingReduced(Event, frozen=True, kw_only=True):
    """A confirmed booking lost some of its seats, or of its price; the rest of it stands.

    `seats` are free again (none, if only money goes back); `refund_cents` of its payment go back.
    `reason` is "customer" or "staff". `reduction_id` names this one of several.
    """

    name: ClassVar[str] = "booking.reduced"

    reduction_id: UUID
    booking_id: UUID
    payment_id: UUID
    customer_id: UUID
    show_id: UUID
    region: str
    seats: Sequence[str]
    refund_cents: int
    currency: str
    reason: str


class ShowRefundBegun(Event, frozen=True, kw_only=True):
    """Staff give a whole show back: nobody buys it any more, and each of its bookings is told as
    `booking.cancelled`. `reason` is for customers to read."""

    name: ClassVar[str] = "show.refund.begun"

    show_id: UUID
    region: str
    reason: str


class BookingRescheduled(Event, frozen=True, kw_only=True):
    """The show of a booking starts at another time, so far from what it was that the customer may
    have all their money back until the new start. One for each booking and change."""

    name: ClassVar[str] = "booking.rescheduled"

    booking_id: UUID
    customer_id: UUID
    show_id: UUID
    region: str
    seats: Sequence[str]
    starts_at_before: datetime
    starts_at: datetime
    ends_at: datetime
    revision: int


class BookingRefused(Event, frozen=True, kw_only=True):
    """A payment could not become a booking and goes back whole.

    `reason` is "seats_gone", "already_paid", "released_show", "unknown_hold" or "wrong_amount".
    """

    name: ClassVar[str] = "booking.refused"

    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    refund_cents: int
    currency: str
    reason: str
