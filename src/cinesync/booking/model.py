"""What a hold and a booking are, how they change, and what can be wrong with a request: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from cinesync.chassis.problems import Problem
from cinesync.contracts.payment import PaymentSuccess

SEATS_PER_HOLD_MAX = 10
ALTERNATIVES_MAX = 3


class State(StrEnum):
    """A hold that is paid for becomes a booking: one thing, one id, one state."""

    HELD = "held"
    RELEASED = "released"
    EXPIRED = "expired"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


class Cause(StrEnum):
    """What may happen to a hold or a booking."""

    PAID = "paid"
    GIVEN_BACK = "given_back"
    RAN_OUT = "ran_out"
    CUSTOMER_CANCELLED = "customer_cancelled"
    SHOW_CANCELLED = "show_cancelled"
    STAFF_REFUNDED = "staff_refunded"


# A hold that is over may still be paid for: its money was under way (I5).
NEXT: Mapping[tuple[State, Cause], State] = {
    (State.HELD, Cause.PAID): State.CONFIRMED,
    (State.HELD, Cause.GIVEN_BACK): State.RELEASED,
    (State.HELD, Cause.RAN_OUT): State.EXPIRED,
    (State.HELD, Cause.SHOW_CANCELLED): State.RELEASED,
    (State.RELEASED, Cause.PAID): State.CONFIRMED,
    (State.EXPIRED, Cause.PAID): State.CONFIRMED,
    (State.CONFIRMED, Cause.CUSTOMER_CANCELLED): State.CANCELLED,
    (State.CONFIRMED, Cause.SHOW_CANCELLED): State.CANCELLED,
    (State.CONFIRMED, Cause.STAFF_REFUNDED): State.CANCELLED,
}


def states_before(cause: Cause) -> list[State]:
    """The states that a cause changes."""
    return [state for state, happened in NEXT if happened is cause]


class AuditAction(StrEnum):
    """What of booking goes into the audit trail."""

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
    """What the operator decides."""

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
        """The change of a show's start that customers need not bear."""
        return timedelta(minutes=max(self.moved_minutes, 1))


Choice = tuple[tuple[str, ...], int, str | None]  # seats, or how many of the best, and the zone


class Seen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a customer saw before they asked for seats: `total_cents` of these seats, or
    `prices_cents` by zone, and when the show starts."""

    total_cents: int | None = None
    prices_cents: Mapping[str, int] | None = None
    starts_at: datetime | None = None

    def total_of(self, seats: Sequence["PricedSeat"]) -> int | None:
        """What these seats cost as they saw it; None if they saw no price of one of them."""
        if self.total_cents is not None or self.prices_cents is None:
            return self.total_cents
        seen = [self.prices_cents.get(priced.zone) for priced in seats]
        known = [cents for cents in seen if cents is not None]
        return sum(known) if len(known) == len(seen) else None


class HoldSeats(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's wish: these `seats`, or the `best` so many side by side.

    `email_key` and `address_key` stand for their e-mail and address; limits count by them. Who
    has no `address_key` is not limited by it.
    """

    hold_id: UUID
    customer_id: UUID
    is_guest: bool
    show_id: UUID
    email_key: UUID
    address_key: UUID | None = None
    is_staff: bool = False
    seen: Seen | None = None
    accessible_need: bool | None = None
    seats: tuple[str, ...] = ()
    best: int = 0
    zone: str | None = None
    trace: str = ""

    @property
    def choice(self) -> Choice:
        """What is wished, whoever wishes it."""
        return self.seats, self.best, self.zone


class Move(msgspec.Struct, frozen=True):
    """A show was to start at `before` until `moved_at`."""

    before: datetime
    moved_at: datetime


class Show(msgspec.Struct, frozen=True, kw_only=True):
    """A show as booking sells it. `read_at` is the database's clock when it was read; `moves` are
    its changes of time, the oldest first.
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

    def starts_at_when(self, moment: datetime) -> datetime:
        """The start that was announced then."""
        later = (move.before for move in self.moves if move.moved_at > moment)
        return next(later, self.starts_at)

    def is_moved_since(self, moment: datetime, terms: Terms) -> bool:
        """Whether it starts at another time than was announced then, by more than people bear."""
        return abs(self.starts_at - self.starts_at_when(moment)) >= terms.moved_by

    def cancel_until(self, terms: Terms, booked_at: datetime) -> datetime:
        """Until when a booking made at `booked_at` can be given back: until the new start, if the
        show was moved; and a small change of time takes nothing away."""
        if self.is_moved_since(booked_at, terms):
            return self.starts_at
        announced = max(self.starts_at, self.starts_at_when(booked_at))
        until = announced - timedelta(minutes=terms.cancel_minutes_before)
        return min(until, self.starts_at)

    def refuse_sale(self, terms: Terms) -> BookingError | None:
        """Why no seat of this show is sold now, if so."""
        if self.cancelled:
            return ShowIsOff()
        if self.read_at >= self.sales_close_at(terms):
            return SalesClosed()
        return None


class PricedSeat(msgspec.Struct, frozen=True):
    """A seat with the price it was held at."""

    seat: str
    zone: str
    price_cents: int


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """A hold, or the booking it became. `read_at` is the database's clock when it was read."""

    region: str
    booking_id: UUID
    customer_id: UUID
    show_id: UUID
    seats: Sequence[PricedSeat]
    total_cents: int
    currency: str
    state: State
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
    def status(self) -> State:
        """Its state by the clock: a hold that ran out has expired, swept already or not."""
        if self.state is State.HELD and self.expires_at <= self.read_at:
            return State.EXPIRED
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
        """This booking as a payment leaves it."""
        state = NEXT[self.state, Cause.PAID]
        return replace(self, state=state, payment_id=payment_id)


class Verdict(StrEnum):
    """What becomes of a captured payment: a booking, nothing more, or a refund and why."""

    CONFIRM = "confirm"
    KNOWN = "known"
    UNKNOWN_HOLD = "unknown_hold"
    ALREADY_PAID = "already_paid"
    RELEASED_SHOW = "released_show"
    WRONG_AMOUNT = "wrong_amount"
    SEATS_GONE = "seats_gone"


def judge(payment: PaymentSuccess, booking: Booking | None, show: Show | None) -> Verdict:
    """I5 as far as it can be told before the seats are tried; CONFIRM means: try them."""
    if booking is None or show is None or booking.customer_id != payment.customer_id:
        return Verdict.UNKNOWN_HOLD
    priced = (booking.total_cents, booking.currency)
    is_over = booking.status is not State.HELD
    verdicts = (
        (booking.payment_id == payment.payment_id, Verdict.KNOWN),
        (show.cancelled, Verdict.RELEASED_SHOW),
        ((booking.state, Cause.PAID) not in NEXT, Verdict.ALREADY_PAID),
        ((payment.amount_cents, payment.currency) != priced, Verdict.WRONG_AMOUNT),
        (is_over and show.read_at >= show.ends_at, Verdict.SEATS_GONE),
    )
    return next((verdict for applies, verdict in verdicts if applies), Verdict.CONFIRM)


def refuse_if_changed(seen: Seen, show: Show, seats: Sequence[PricedSeat]) -> None:
    """Nobody pays more than they saw, or comes at an hour they did not see. Less is no surprise.

    Raises SaleChanged with both, for the customer to confirm.
    """
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
    """Prices of (seat, zone) pairs; seats of zones without a price are never offered."""
    return [PricedSeat(seat, zone, show.prices_cents[zone]) for seat, zone in zones]
