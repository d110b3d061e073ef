"""What the APIs answer, as far as the pages show it; unknown members are ignored."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct, field

T = TypeVar("T")

SEATS_PER_HOLD_MAX = 10


class Page(Struct, Generic[T], frozen=True):
    """One page of a list; `next` is the cursor of the following one."""

    items: list[T] = field(default_factory=list)
    next: str | None = None


class Movie(Struct, frozen=True):
    movie_id: str
    title: str
    type: str = "film"
    genre: str | None = None
    language: str | None = None
    certificate: str | None = None
    running_minutes: int | None = None
    release_date: str | None = None
    director: str | None = None
    imdb_rating: float | None = None


class Filters(Struct, frozen=True):
    """What the filters of movies can be set to."""

    types: list[str] = field(default_factory=list)
    certificates: list[str] = field(default_factory=list)
    genres: list[str] = field(default_factory=list)
    languages: list[str] = field(default_factory=list)


class City(Struct, frozen=True):
    city: str
    theater_count: int = 0


class Theater(Struct, frozen=True):
    theater_id: str
    name: str
    city: str
    address: str | None = None
    auditorium_count: int = 0
    seat_count: int = 0


class Show(Struct, frozen=True):
    show_id: str
    movie_id: str
    theater_id: str
    starts_at: datetime
    movie_title: str = ""
    theater_name: str = ""
    auditorium_name: str = ""
    city: str = ""
    time_zone: str = "UTC"
    format: str = ""
    language: str = ""
    subtitles: str | None = None
    currency: str = ""
    price_from_cents: int | None = None
    seats_left: int | None = None
    seats_held: int = 0  # may still come free
    status: str = "scheduled"
    cancel_reason: str | None = None
    announced_at: datetime | None = None

    business_date: date | None = None

    @property
    def day(self) -> date:
        """The day whose programme it is part of: the evening before, after midnight."""
        return self.business_date or self.calendar_day

    @property
    def calendar_day(self) -> date:
        """The day that the calendar in the theater shows."""
        return self.starts_at.astimezone(ZoneInfo(self.time_zone)).date()


class Days(Struct, frozen=True):
    items: list[date]


class Seat(Struct, frozen=True):
    seat: str
    row: str
    number: int
    zone: str
    kind: str
    x: float
    y: float
    price_cents: int
    state: str


class Seen(Struct, frozen=True, omit_defaults=True):
    """What a visitor saw before they asked for seats; forms carry it, and the hold tells it."""

    total_cents: int | None = None
    prices_cents: dict[str, int] | None = None
    starts_at: datetime | None = None


class SaleChange(Struct, frozen=True):
    """Why a hold waits for its customer's word: what they saw, and what is true by now."""

    changed: list[str]
    seats: list[str]
    before: Seen
    after: Seen
    currency: str


class SeatMap(Struct, frozen=True):
    show_id: str
    version: int
    currency: str
    seats: list[Seat]
    cancelled: bool = False
    cancel_reason: str | None = None
    starts_at: datetime | None = None
    sales_close_at: datetime | None = None

    @property
    def seen(self) -> Seen:
        """What its reader sees, as a hold tells it."""
        prices = {seat.zone: seat.price_cents for seat in self.seats}
        return Seen(prices_cents=prices, starts_at=self.starts_at)


class Hold(Struct, frozen=True):
    """Seats kept for a customer. `server_time` is the clock that `expires_at` is measured by."""

    hold_id: str
    expires_at: datetime
    seats: list[str]
    total_cents: int
    currency: str
    show_id: str = ""
    status: str = "held"
    server_time: datetime | None = None
    extensions_left: int | None = None


class RefusedPayment(Struct, frozen=True):
    """A payment that became no booking: it goes back. Some came beside the one that did."""

    payment_id: str
    reason: str = ""


class RefundLine(Struct, frozen=True):
    """What was given back of a booking at one time; `note` is what staff said about it."""

    refund_cents: int
    reason: str = ""
    note: str | None = None
    seats: list[str] = field(default_factory=list)


class BookingReceipt(Struct, frozen=True):
    """Where the ledger has a booking."""

    event_id: str
    height: int
    index: int


class PricedSeat(Struct, frozen=True):
    """A seat and what was paid for it."""

    seat: str
    price_cents: int = 0


class Booking(Struct, frozen=True):
    """`booked_starts_at` is the time it was bought for; `is_moved` tells that the show's is so
    far from it that the money can be had back."""

    booking_id: str
    status: str
    seats: list[str] = field(default_factory=list)
    total_cents: int = 0
    currency: str = ""
    show_id: str = ""
    movie_title: str = ""
    theater_name: str = ""
    auditorium_name: str = ""
    city: str = ""
    time_zone: str = "UTC"
    starts_at: datetime | None = None
    refund_state: str | None = None
    refund_cents: int | None = None
    cancel_until: datetime | None = None
    cancel_reason: str | None = None
    cancel_note: str | None = None
    priced_seats: list[PricedSeat] = field(default_factory=list)
    cancelled_seats: list[PricedSeat] = field(default_factory=list)
    booked_starts_at: datetime | None = None
    is_moved: bool = False
    refunds: list[RefundLine] = field(default_factory=list)
    ticket: str | None = None
    refused_payments: list[RefusedPayment] = field(default_factory=list)
    receipt: BookingReceipt | None = None


class Ticket(Struct, frozen=True):
    """What admits one seat of a booking."""

    seat: str
    ticket: str


class Payment(Struct, frozen=True):
    payment_id: str
    status: str
    hold_id: str = ""
    amount_cents: int = 0
    currency: str = ""
    failure_reason: str | None = None
    confirm_url: str | None = None


class PaymentProvider(Struct, frozen=True):
    """Whom the shop takes money through; empty: nobody."""

    provider: str
    takes_test_cards: bool = False


class Tokens(Struct, frozen=True):
    access_token: str
    expires_in: int


class Account(Struct, frozen=True):
    customer_id: str = ""
    email: str = ""
    name: str = ""
    phone: str | None = None
    role: str = "customer"


class TestCard(Struct, frozen=True):
    """A token of the sandbox bank, and what paying with it does."""

    token: str
    name: str
    outcome: str


TEST_CARDS = (
    TestCard("tok_approve", "Card that pays", "Approved at once"),
    TestCard("tok_decline", "Card that is declined", "Declined; nothing is taken"),
    TestCard("tok_insufficient_funds", "Empty card", "Declined: not enough money"),
    TestCard("tok_3ds", "Card that asks you first", "Your bank asks you to confirm"),
    TestCard("tok_late", "Slow card", "Approved after a while"),
    TestCard("tok_timeout_then_success", "Card on a bad line", "No answer at first, then approved"),
    TestCard("tok_webhook_first", "Card that calls ahead", "The bank's message comes first"),
    TestCard("tok_success_twice", "Card that stutters", "Approved, and said so twice"),
    TestCard("tok_down", "Card of a closed bank", "The bank does not answer"),
)


class Outcome(Enum):
    """How a purchase stands, as its page tells it."""

    WAIT = "wait"
    PAID = "paid"
    TICKET = "ticket"
    DECLINED = "declined"
    REFUNDED = "refunded"


def outcome_of(payment: Payment, booking: Booking | None) -> Outcome:
    """A payment succeeds some moments before its booking is confirmed; until then it is PAID."""
    if payment.status == "failed":
        return Outcome.DECLINED
    refused = booking.refused_payments if booking else ()
    reasons = [one.reason for one in refused if one.payment_id == payment.payment_id]
    if reasons and reasons != ["already_paid"]:
        return Outcome.REFUNDED
    if booking is not None and booking.status in {"confirmed", "cancelled"}:
        return Outcome.TICKET
    if payment.status in {"refunded", "partially_refunded"}:
        return Outcome.REFUNDED
    return Outcome.PAID if payment.status == "success" else Outcome.WAIT


def shows_by_theater(shows: Iterable[Show]) -> list[tuple[Show, list[Show]]]:
    """Shows gathered under their theater (told by its first show), in order of appearance."""
    gathered: dict[str, list[Show]] = {}
    for show in shows:
        gathered.setdefault(show.theater_id, []).append(show)
    return [(group[0], group) for group in gathered.values()]


def shows_by_movie(shows: Iterable[Show]) -> list[tuple[Show, list[Show]]]:
    """Shows gathered under their movie (told by its first show), in order of appearance."""
    gathered: dict[str, list[Show]] = {}
    for show in shows:
        gathered.setdefault(show.movie_id, []).append(show)
    return [(group[0], group) for group in gathered.values()]


def alternatives_of(members: Mapping[str, Any]) -> list[list[str]]:
    """The groups of seats that a conflict offers instead, in the order of the server's liking."""
    return [_labels(group) for group in members.get("alternatives") or () if _labels(group)]


def groups_of(members: Mapping[str, Any]) -> list[list[list[str]]]:
    """How each alternative is split over rows, as far as a conflict says so."""
    return [[_labels(group) for group in groups] for groups in members.get("groups") or ()]


def fewer_of(members: Mapping[str, Any]) -> list[list[str]]:
    """The groups of seats that are left when there are not as many as were asked for."""
    return [_labels(group) for group in members.get("fewer") or ()]


def _labels(group: Any) -> list[str]:
    """A group comes as a list of labels, or as an object that holds it beside a price."""
    seats = group.get("seats", ()) if isinstance(group, Mapping) else group
    return [str(seat) for seat in seats] if isinstance(seats, Sequence) else []
