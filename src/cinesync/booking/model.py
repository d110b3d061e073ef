"""Holds and bookings: types, state machine, rules and errors. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace

from cinesync.chassis.problems import Problem
from cinesync.contracts.payment import PaymentSuccess

SEATS_PER_HOLD_MAX = 10
ALTERNATIVES_MAX = 3


class BookingState(StrEnum):
    """The states of one row: a hold becomes a booking when it is paid, and keeps its id."""

    HELD = "held"
    RELEASED = "released"
    EXPIRED = "expired"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


class Trigger(StrEnum):
    """What changes the state of a hold or a booking."""

    PAID = "paid"
    CUSTOMER_RELEASED = "customer_released"
    EXPIRED = "expired"
    CUSTOMER_CANCELLED = "customer_cancelled"
    SHOW_CANCELLED = "show_cancelled"
    STAFF_REFUNDED = "staff_refunded"


# A payment may arrive after its hold has ended (I5).
NEXT: Mapping[tuple[BookingState, Trigger], BookingState] = {
    (BookingState.HELD, Trigger.PAID): BookingState.CONFIRMED,
    (BookingState.HELD, Trigger.CUSTOMER_RELEASED): BookingState.RELEASED,
    (BookingState.HELD, Trigger.EXPIRED): BookingState.EXPIRED,
    (BookingState.HELD, Trigger.SHOW_CANCELLED): BookingState.RELEASED,
    (BookingState.RELEASED, Trigger.PAID): BookingState.CONFIRMED,
    (BookingState.EXPIRED, Trigger.PAID): BookingState.CONFIRMED,
    (BookingState.CONFIRMED, Trigger.CUSTOMER_CANCELLED): BookingState.CANCELLED,
    (BookingState.CONFIRMED, Trigger.SHOW_CANCELLED): BookingState.CANCELLED,
    (BookingState.CONFIRMED, Trigger.STAFF_REFUNDED): BookingState.CANCELLED,
}


def states_before(trigger: Trigger) -> list[BookingState]:
    """The states that accept `trigger`."""
    return [state for state, accepted in NEXT if accepted is trigger]


class BookingAuditAction(StrEnum):
    """The actions that booking writes to the audit log."""

    BOOKING_LOOKED_UP = "booking.looked_up"
    BOOKING_REFUNDED = "booking.refunded"
    ADMITTED_BY_HAND = "ticket.admitted_by_hand"
    SHOW_REFUND_BEGUN = "show.refund_begun"
    SHOW_REFUNDED = "show.refunded"


class BookingError(Problem):
    """This cannot be booked."""


class UnknownShow(BookingError):
    """There is no such show."""

    status = 404


class UnknownBooking(BookingError):
    """There is no such hold or booking."""

    status = 404


class SeatTaken(BookingError):
    """Someone else has one of these seats."""

    status = 409


class NotTogether(BookingError):
    """There are not that many free seats side by side."""

    status = 409


class SalesClosed(BookingError):
    """Tickets for this show are no longer sold."""

    status = 409


class ShowIsOff(BookingError):
    """This show was cancelled."""

    status = 409


class HoldIsOver(BookingError):
    """This hold is over; please choose seats again."""

    status = 409


class NotConfirmed(BookingError):
    """This booking is not confirmed."""

    status = 409


class SaleChanged(BookingError):
    """The price or the time of this show has changed since you looked."""

    status = 409


class RuleBroken(BookingError):
    """A seating rule does not allow this."""

    status = 422
    rule: ClassVar[str] = "rule"

    def __init__(self, detail: str = "", /, **members: Any) -> None:
        super().__init__(detail, rule=self.rule, **members)


class ChooseSeats(RuleBroken):
    """Name the seats you want, or how many of the best."""

    rule = "choice"


class UnknownSeat(RuleBroken):
    """This auditorium has no such seat or zone."""

    rule = "unknown_seat"


class TooManySeats(RuleBroken):
    """That is more seats than one hold may have."""

    rule = "limit"


class TooManyHeld(RuleBroken):
    """You hold too many seats already."""

    rule = "held_limit"


class GuestHoldsAlready(RuleBroken):
    """A guest holds seats once at a time: pay for them, change them or give them back first."""

    rule = "guest"


class GivenBackTooMany(BookingError):
    """You held and gave back many seats a short while ago."""

    status = 429


class AddressHoldsTooMany(BookingError):
    """Many seats are held from your network and not paid for."""

    status = 429


class CompanionAlone(RuleBroken):
    """A companion seat goes with its wheelchair place."""

    rule = "companion"


class AskNeed(RuleBroken):
    """A wheelchair place is kept for those who need it; please say that one of you does."""

    rule = "accessible_need"


class GapLeft(RuleBroken):
    """This would leave a single seat on its own."""

    rule = "gap"


class ExtensionsUsedUp(RuleBroken):
    """This hold cannot be extended again."""

    rule = "extensions"


class TooLateToCancel(RuleBroken):
    """It is too late to cancel this booking."""

    rule = "cancel_deadline"


@dataclass(frozen=True, slots=True)
class Terms:
    """The rules of sale that the operator configures."""

    hold_seconds: int = 600
    extensions_max: int = 2
    held_seats_max: int = 20
    staff_seats_max: int = 1_000
    address_seats_max: int = 200
    address_show_seats_max: int = 60
    release_pause_seconds: int = 300
    companion_release_minutes: int = 60
    sales_close_minutes: int = 15
    cancel_minutes_before: int = 120
    moved_minutes: int = 15

    @property
    def moved_by(self) -> timedelta:
        """From this change of a show's start on, customers may cancel until the new start."""
        return timedelta(minutes=max(self.moved_minutes, 1))


class SeatSelection(NamedTuple):
    """Either these `seats`, or the `best` so many side by side, in `zone` if there is one."""

    seats: tuple[str, ...] = ()
    best: int = 0
    zone: str | None = None


class ExpectedOffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the customer's page showed: `total_cents` of these seats, or `prices_cents` by zone,
    and when the show starts."""

    total_cents: int | None = None
    prices_cents: Mapping[str, int] | None = None
    starts_at: datetime | None = None

    def total_of(self, seats: Sequence["PricedSeat"]) -> int | None:
        """What these seats cost on the page; None if it showed no price for one of them."""
        if self.total_cents is not None or self.prices_cents is None:
            return self.total_cents
        seen = [self.prices_cents.get(priced.zone) for priced in seats]
        known = [cents for cents in seen if cents is not None]
        return sum(known) if len(known) == len(seen) else None


class HoldSeats(msgspec.Struct, frozen=True, kw_only=True):
    """Command: hold seats of a show for a customer.

    `email_key` and `address_key` are digests of their e-mail and client address; the limits of held
    seats count by them. Without an `address_key`, no limit by address applies.
    """

    hold_id: UUID
    customer_id: UUID
    is_guest: bool
    show_id: UUID
    selection: SeatSelection
    email_key: UUID
    address_key: UUID | None = None
    is_staff: bool = False
    seen: ExpectedOffer | None = None
    accessible_need: bool | None = None
    trace: str = ""


class Move(msgspec.Struct, frozen=True):
    """The show had the start `before` until `moved_at`."""

    before: datetime
    moved_at: datetime


class Show(msgspec.Struct, frozen=True, kw_only=True):
    """A show as booking sells it. `read_at` is the database's clock at the read; `moves` are its
    earlier starts, the oldest first.
    """

    region: str
    show_id: UUID
    movie_id: UUID
    movie_title: str
    theater_id: UUID
    theater_name: str
    city: str
    time_zone: str
    auditorium_name: str
    starts_at: datetime
    ends_at: datetime
    format: str
    language: str
    currency: str
    prices_cents: Mapping[str, int]
    layout_id: UUID
    revision: int
    cancelled: bool
    cancel_reason: str | None = None
    moves: Sequence[Move] = ()
    sales_close_minutes: int | None = None
    read_at: datetime

    def sales_close_at(self, terms: Terms) -> datetime:
        own = self.sales_close_minutes
        return self.starts_at + timedelta(minutes=terms.sales_close_minutes if own is None else own)

    def starts_at_when(self, at: datetime) -> datetime:
        """The start that was announced at `at`."""
        later = (move.before for move in self.moves if move.moved_at > at)
        return next(later, self.starts_at)

    def is_moved_since(self, at: datetime, terms: Terms) -> bool:
        """Whether the start has changed since `at` by `terms.moved_by` or more."""
        return abs(self.starts_at - self.starts_at_when(at)) >= terms.moved_by

    def cancel_until(self, terms: Terms, booked_at: datetime) -> datetime:
        """The deadline for cancelling a booking made at `booked_at`. If the show moved, it is the
        new start; a smaller change never brings the deadline forward."""
        if self.is_moved_since(booked_at, terms):
            return self.starts_at
        announced = max(self.starts_at, self.starts_at_when(booked_at))
        until = announced - timedelta(minutes=terms.cancel_minutes_before)
        return min(until, self.starts_at)

    def refuse_sale(self, terms: Terms) -> BookingError | None:
        """Why the show is not on sale now; None if it is."""
        if self.cancelled:
            return ShowIsOff()
        if self.read_at >= self.sales_close_at(terms):
            return SalesClosed()
        return None


class PricedSeat(msgspec.Struct, frozen=True):
    """A seat with its price when it was held."""

    seat: str
    zone: str
    price_cents: int


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """A hold, or the booking it became. `read_at` is the database's clock at the read."""

    region: str
    booking_id: UUID
    customer_id: UUID
    show_id: UUID
    seats: Sequence[PricedSeat]
    total_cents: int
    currency: str
    state: BookingState
    created_at: datetime
    expires_at: datetime
    extensions: int
    payment_id: UUID | None
    payment_failure: str | None
    late: bool
    confirmed_at: datetime | None
    cancelled_at: datetime | None
    cancel_reason: str | None
    refund_cents: int
    refunded_cents: int
    cancelled_seats: Sequence[PricedSeat] = ()
    cancel_note: str | None = None
    read_at: datetime

    @property
    def status(self) -> BookingState:
        """Its state by the clock: a hold past `expires_at` is expired, marked so or not."""
        if self.state is BookingState.HELD and self.expires_at <= self.read_at:
            return BookingState.EXPIRED
        return self.state

    @property
    def refund_state(self) -> str:
        """One of none, pending, refunded."""
        if not self.refund_cents:
            return "none"
        return "refunded" if self.refunded_cents >= self.refund_cents else "pending"

    @property
    def seat_names(self) -> list[str]:
        return [priced.seat for priced in self.seats]

    def paid(self, payment_id: UUID) -> "Booking":
        """This booking after the payment."""
        state = NEXT[self.state, Trigger.PAID]
        return replace(self, state=state, payment_id=payment_id)


class PaymentDecision(StrEnum):
    """What booking does with a captured payment: confirm, ignore a known one, or refuse and why."""

    CONFIRM = "confirm"
    KNOWN = "known"
    UNKNOWN_HOLD = "unknown_hold"
    ALREADY_PAID = "already_paid"
    RELEASED_SHOW = "released_show"
    WRONG_AMOUNT = "wrong_amount"
    SEATS_GONE = "seats_gone"


def decide_payment(
    payment: PaymentSuccess, booking: Booking | None, show: Show | None
) -> PaymentDecision:
    """Decides I5 before the seats are claimed; CONFIRM means: claim them."""
    if booking is None or show is None or booking.customer_id != payment.customer_id:
        return PaymentDecision.UNKNOWN_HOLD
    priced = (booking.total_cents, booking.currency)
    is_over = booking.status is not BookingState.HELD
    decisions = (
        (booking.payment_id == payment.payment_id, PaymentDecision.KNOWN),
        (show.cancelled, PaymentDecision.RELEASED_SHOW),
        ((booking.state, Trigger.PAID) not in NEXT, PaymentDecision.ALREADY_PAID),
        ((payment.amount_cents, payment.currency) != priced, PaymentDecision.WRONG_AMOUNT),
        (is_over and show.read_at >= show.ends_at, PaymentDecision.SEATS_GONE),
    )
    return next((decision for applies, decision in decisions if applies), PaymentDecision.CONFIRM)


def refuse_if_changed(seen: ExpectedOffer, show: Show, seats: Sequence[PricedSeat]) -> None:
    """Raises SaleChanged, with old and new values, if the price rose or the start changed since the
    page was shown. A lower price is accepted."""
    total_cents = sum(priced.price_cents for priced in seats)
    seen_cents = seen.total_of(seats)
    changed = []
    if seen_cents is not None and seen_cents < total_cents:
        changed.append("price")
    if seen.starts_at is not None and seen.starts_at != show.starts_at:
        changed.append("time")
    if changed:
        raise SaleChanged(
            "Look at what changed, and ask for the seats again with what you see now.",
            changed=changed,
            seats=[priced.seat for priced in seats],
            before={"total_cents": seen_cents, "starts_at": seen.starts_at},
            after={"total_cents": total_cents, "starts_at": show.starts_at},
            currency=show.currency,
        )


def price(show: Show, zones: Sequence[tuple[str, str]]) -> list[PricedSeat]:
    """Prices of (seat, zone) pairs. Every zone must have a price."""
    return [PricedSeat(seat, zone, show.prices_cents[zone]) for seat, zone in zones]
