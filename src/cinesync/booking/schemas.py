"""What the HTTP door takes and gives: one dataclass per body."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec

from cinesync.booking.availability import SeatsLeft
from cinesync.booking.cancellation_store import RefundLine
from cinesync.booking.history_store import RefusedPayment, Spending
from cinesync.booking.model import (
    SEATS_PER_HOLD_MAX,
    Booking,
    Choice,
    PricedSeat,
    Seen,
    Show,
    Terms,
)
from cinesync.booking.receipt_store import BookingReceipt
from cinesync.booking.seatmap.state import FREE, Feed
from cinesync.booking.service import Held
from cinesync.chassis.http.security.access_tokens import TOKEN_CHARS_MAX

# Above the rule's limit, so that the rule answers; far below what could hurt.
SEATS_NAMED_MAX = 100
NAME_CHARS_MAX = 40
HOLDS_READ_MAX = 50

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]

SomeSeats = Annotated[tuple[Name, ...], msgspec.Meta(min_length=1, max_length=SEATS_NAMED_MAX)]


class HoldWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Name `seats`, or ask for the `best` so many side by side, in a `zone` if you like.

    `accessible_need` says that somebody needs the wheelchair place among them; `false` is refused.
    With what was `seen`, seats that cost more by now, or a show that starts at another time, are
    not held: the answer (409) has what changed.
    """

    show_id: UUID
    seats: Annotated[tuple[Name, ...], msgspec.Meta(max_length=SEATS_NAMED_MAX)] = ()
    best: Annotated[int, msgspec.Meta(ge=1, le=SEATS_NAMED_MAX)] | None = None
    zone: Name | None = None
    seen: Seen | None = None
    accessible_need: bool | None = None

    @property
    def choice(self) -> Choice:
        """As booking's model has it."""
        return self.seats, self.best or 0, self.zone


class CancelWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which `seats` of a booking to give back; without them, all."""

    seats: SomeSeats | None = None


class SeatsWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Other seats for a hold: all of those that it shall have, as for a new one."""

    seats: Annotated[tuple[Name, ...], msgspec.Meta(max_length=SEATS_NAMED_MAX)] = ()
    best: Annotated[int, msgspec.Meta(ge=1, le=SEATS_NAMED_MAX)] | None = None
    zone: Name | None = None
    seen: Seen | None = None
    accessible_need: bool | None = None


class HoldQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hold to read, with its own customer's access token."""

    hold_id: UUID
    token: Annotated[str, msgspec.Meta(max_length=TOKEN_CHARS_MAX)]


class HoldQuestions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several at once."""

    items: Annotated[tuple[HoldQuestion, ...], msgspec.Meta(max_length=HOLDS_READ_MAX)]


class HoldAnswer(msgspec.Struct, frozen=True):
    """`status` is the one that reading this hold alone would have had."""

    status: int
    hold: "HoldView | None"


class HoldAnswers(msgspec.Struct, frozen=True):
    items: Sequence[HoldAnswer]


@dataclass(frozen=True, slots=True)
class ZoneView:
    zone: str
    price_cents: int


@dataclass(frozen=True, slots=True)
class SeatView:
    """`x` and `y` are in seat pitches, `y` growing away from the screen; `state` is one of
    free, held, booked."""

    seat: str
    row: str
    number: int
    zone: str
    kind: str
    x: float
    y: float
    companion_of: str | None
    price_cents: int
    state: str


@dataclass(frozen=True, slots=True)
class SeatMapView:
    show_id: UUID
    version: int
    currency: str
    cancelled: bool
    cancel_reason: str | None
    starts_at: datetime
    sales_close_at: datetime
    seats_per_hold_max: int
    seats_left: int
    zones: Sequence[ZoneView]
    seats: Sequence[SeatView]


class AvailabilityView(msgspec.Struct, frozen=True):
    """Shows that are not known are left out."""

    items: Sequence[SeatsLeft]


class HoldView(msgspec.Struct, frozen=True):
    """`status` is one of held, released, expired, confirmed, cancelled. `server_time` lets a
    countdown run true on a client whose clock is wrong."""

    hold_id: UUID
    show_id: UUID
    region: str
    customer_id: UUID
    seats: Sequence[str]
    priced_seats: Sequence[PricedSeat]
    total_cents: int
    currency: str
    status: str
    expires_at: datetime
    server_time: datetime
    extensions_left: int
    payment_failure: str | None


@dataclass(frozen=True, slots=True)
class BookingView:
    """A booking with all that a ticket shows. `refund_state` is one of none, pending, refunded.

    `cancelled_seats` were given back one by one; `cancel_reason` is one of customer, staff, show,
    and `cancel_note` is what was said about it. `booked_starts_at` is when the show was to start
    as it was booked; `is_moved` tells that it was moved so far that it can be given back until
    the new start.
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
    """The same with its ticket, and the payments for it that were refused and go back.

    `refunds` are what was given back of it, and why. `ticket` is there while it is confirmed.
    `receipt` says where the ledger has it, which is moments after that.
    """

    ticket: str | None
    refused_payments: Sequence[RefusedPayment]
    receipt: BookingReceipt | None
    refunds: Sequence[RefundLine]


class TicketView(msgspec.Struct, frozen=True):
    """One seat's ticket: `ticket` is what a scanner reads, `ticket_id` its `jti`."""

    ticket_id: str
    seat: str
    ticket: str


@dataclass(frozen=True, slots=True)
class MonthView:
    """`month` is as in 2026-11, by UTC. Bookings and seats are those not cancelled; refunds are
    already taken off `spent_cents`."""

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


def seat_map(feed: Feed, terms: Terms) -> SeatMapView:
    """Everything a seat map draws. Seats of a zone without a price are not on sale."""
    show = feed.show
    return SeatMapView(
        show_id=show.show_id,
        version=feed.version,
        currency=show.currency,
        cancelled=show.cancelled,
        cancel_reason=show.cancel_reason,
        starts_at=show.starts_at,
        sales_close_at=show.sales_close_at(terms),
        seats_per_hold_max=SEATS_PER_HOLD_MAX,
        seats_left=sum(
            seat.zone in show.prices_cents and seat.seat not in feed.taken
            for seat in feed.hall.seats.values()
        ),
        zones=[ZoneView(zone, cents) for zone, cents in sorted(show.prices_cents.items())],
        seats=[
            SeatView(
                seat=seat.seat,
                row=seat.row,
                number=seat.number,
                zone=seat.zone,
                kind=seat.kind,
                x=seat.x,
                y=seat.y,
                companion_of=seat.companion_of,
                price_cents=show.prices_cents[seat.zone],
                state=feed.taken[seat.seat].state if seat.seat in feed.taken else FREE,
            )
            for seat in feed.hall.seats.values()
            if seat.zone in show.prices_cents
        ],
    )


def new_hold(held: Held, terms: Terms) -> HoldView:
    """The answer to a new hold."""
    pick = held.pick
    return HoldView(
        hold_id=pick.hold.hold_id,
        show_id=pick.show.show_id,
        region=pick.show.region,
        customer_id=pick.hold.customer_id,
        seats=[priced.seat for priced in pick.seats],
        priced_seats=pick.seats,
        total_cents=pick.total_cents,
        currency=pick.show.currency,
        status="held",
        expires_at=held.event.expires_at,
        server_time=pick.show.read_at,
        extensions_left=terms.extensions_max,
        payment_failure=None,
    )


def hold(booking: Booking, terms: Terms) -> HoldView:
    """A hold as it stands."""
    return HoldView(
        hold_id=booking.booking_id,
        show_id=booking.show_id,
        region=booking.region,
        customer_id=booking.customer_id,
        seats=booking.seat_names,
        priced_seats=booking.seats,
        total_cents=booking.total_cents,
        currency=booking.currency,
        status=booking.status,
        expires_at=booking.expires_at,
        server_time=booking.read_at,
        extensions_left=max(terms.extensions_max - booking.extensions, 0),
        payment_failure=booking.payment_failure,
    )


def booking(it: Booking, show: Show, terms: Terms) -> BookingView:
    """A row of a customer's list."""
    return BookingView(**booking_fields(it, show, terms))


def booking_detail(
    it: Booking,
    show: Show,
    terms: Terms,
    ticket: str | None,
    refused: Sequence[RefusedPayment],
    receipt: BookingReceipt | None,
    refunds: Sequence[RefundLine],
) -> BookingDetail:
    """All there is to know about one."""
    same = booking_fields(it, show, terms)
    return BookingDetail(
        **same, ticket=ticket, refused_payments=refused, receipt=receipt, refunds=refunds
    )


def booking_fields(it: Booking, show: Show, terms: Terms) -> dict[str, Any]:
    """The names of the fields say what goes where; the rest is worked out."""
    worked_out = {
        "seats": it.seat_names,
        "priced_seats": it.seats,
        "cancel_until": show.cancel_until(terms, it.created_at),
        "cancel_note": it.cancel_note or (show.cancel_reason if show.cancelled else None),
        "booked_starts_at": show.starts_at_when(it.created_at),
        "is_moved": show.is_moved_since(it.created_at, terms),
    }
    names = [field.name for field in fields(BookingView) if field.name not in worked_out]
    return worked_out | {name: getattr(it if hasattr(it, name) else show, name) for name in names}


def stats(months: Sequence[Spending]) -> StatsView:
    """Sums that make sense across currencies, and money by currency."""
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
