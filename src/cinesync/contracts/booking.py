"""Events of the booking service: seats held and released, bookings made and changed."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from cinesync.chassis.messaging.event import Event


class SeatsHeld(Event, frozen=True, kw_only=True, tag="seats.held"):
    """One customer holds these seats until `expires_at`. Updates the live seat maps."""

    hold_id: UUID
    show_id: UUID
    region: str
    seats: Sequence[str]
    expires_at: datetime


class SeatsReleased(Event, frozen=True, kw_only=True, tag="seats.released"):
    """Held seats became free before the hold expired.

    `hold_goes_on`: the hold exchanged them for other seats and stays.
    """

    hold_id: UUID
    show_id: UUID
    region: str
    seats: Sequence[str]
    hold_goes_on: bool = False


class BookingConfirmed(Event, frozen=True, kw_only=True, tag="booking.confirmed"):
    """Seats are paid for. `late`: the hold had expired, and booking claimed the seats again."""

    booking_id: UUID
    payment_id: UUID
    customer_id: UUID
    show_id: UUID
    region: str
    seats: Sequence[str]
    total_cents: int
    currency: str
    late: bool


class BookingCancelled(Event, frozen=True, kw_only=True, tag="booking.cancelled"):
    """A booking ended and its seats are free; `refund_cents` of its payment go back.

    `seats` and `refund_cents` are what it still had, without earlier reductions. `reason` is
    "customer", "staff" or "show"; "provider" or "dispute_lost" when the provider returned the
    money without a request from booking.
    """

    booking_id: UUID
    payment_id: UUID
    customer_id: UUID
    show_id: UUID
    region: str
    seats: Sequence[str]
    refund_cents: int
    currency: str
    reason: str


class BookingReduced(Event, frozen=True, kw_only=True, tag="booking.reduced"):
    """A confirmed booking lost some of its seats, or of its price; the rest of it stands.

    `seats` are free again (none, if only money goes back); `refund_cents` of its payment go back.
    `reason` is "customer" or "staff". A booking may have several reductions.
    """

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


class ShowRefundBegun(Event, frozen=True, kw_only=True, tag="show.refund.begun"):
    """Staff began to refund a whole show. Its sale is closed; a `booking.cancelled` follows for
    each of its bookings. Customers read `reason`."""

    show_id: UUID
    region: str
    reason: str


class BookingRescheduled(Event, frozen=True, kw_only=True, tag="booking.rescheduled"):
    """A booking's show moved so far in time that the customer may have a full refund until the new
    start. One event for each booking and change."""

    booking_id: UUID
    customer_id: UUID
    show_id: UUID
    region: str
    seats: Sequence[str]
    starts_at_before: datetime
    starts_at: datetime
    ends_at: datetime
    revision: int


class BookingRefused(Event, frozen=True, kw_only=True, tag="booking.refused"):
    """A payment could not become a booking; all of it goes back.

    `reason` is "seats_gone", "already_paid", "released_show", "unknown_hold" or "wrong_amount".
    """

    payment_id: UUID
    hold_id: UUID
    customer_id: UUID
    refund_cents: int
    currency: str
    reason: str
