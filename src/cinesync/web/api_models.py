"""API responses, with the members that the pages use. Unknown members are ignored."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from msgspec import Struct, field

T = TypeVar("T")


class ListPage(Struct, Generic[T], frozen=True):
    """One page of a list; `next` is the cursor of the following page."""

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


class MovieFilters(Struct, frozen=True):
    """The values that movies can be filtered by."""

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
    seats_held: int = 0  # may become free again
    status: str = "scheduled"
    cancel_reason: str | None = None
    announced_at: datetime | None = None
    business_date: date | None = None

    @property
    def day(self) -> date:
        """The business day: a show after midnight belongs to the evening before."""
        return self.business_date or self.calendar_day

    @property
    def calendar_day(self) -> date:
        """The date in the theater's time zone."""
        return self.starts_at.astimezone(ZoneInfo(self.time_zone)).date()


class ShowDays(Struct, frozen=True):
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


class SeenOffer(Struct, frozen=True, omit_defaults=True):
    """The prices and the time that a page showed. Its form sends them back with the hold request,
    so that booking refuses to hold seats at terms that the visitor has not seen."""

    total_cents: int | None = None
    prices_cents: dict[str, int] | None = None
    starts_at: datetime | None = None


class ChangedOffer(Struct, frozen=True):
    """The refusal of a hold whose price or time changed: what the visitor saw, and what is true."""

    changed: list[str]
    seats: list[str]
    before: SeenOffer
    after: SeenOffer
    currency: str


class SeatMap(Struct, frozen=True):
    show_id: str
    version: int
    currency: str
    seats: list[Seat]
    seats_per_hold_max: int
    cancelled: bool = False
    cancel_reason: str | None = None
    starts_at: datetime | None = None
    sales_close_at: datetime | None = None

    @property
    def seen(self) -> SeenOffer:
        """For the hold request of a visitor who sees this map."""
        prices = {seat.zone: seat.price_cents for seat in self.seats}
        return SeenOffer(prices_cents=prices, starts_at=self.starts_at)


class Hold(Struct, frozen=True):
    """`server_time` is what booking's clock showed; `expires_at` is a time of the same clock."""

    hold_id: str
    expires_at: datetime
    seats: list[str]
    total_cents: int
    currency: str
    show_id: str = ""
    status: str = "held"
    server_time: datetime | None = None
    extensions_left: int | None = None


class ReturnedPayment(Struct, frozen=True):
    """A payment that booking refused, and that is refunded. The booking may have another one."""

    payment_id: str
    reason: str = ""


class RefundSummary(Struct, frozen=True):
    """One refund of a booking; `note` is the reason that staff wrote."""

    refund_cents: int
    reason: str = ""
    note: str | None = None
    seats: list[str] = field(default_factory=list)


class LedgerPosition(Struct, frozen=True):
    """The block and the index of a booking's entry in the ledger."""

    event_id: str
    height: int
    index: int


class SeatPrice(Struct, frozen=True):
    """A seat and its price in a booking."""

    seat: str
    price_cents: int = 0


class Booking(Struct, frozen=True):
    """`booked_starts_at` is the show's time when it was booked. `is_moved` means that the show has
    moved so far from it that the customer may cancel for a full refund."""

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
    priced_seats: list[SeatPrice] = field(default_factory=list)
    cancelled_seats: list[SeatPrice] = field(default_factory=list)
    booked_starts_at: datetime | None = None
    is_moved: bool = False
    refunds: list[RefundSummary] = field(default_factory=list)
    ticket: str | None = None
    refused_payments: list[ReturnedPayment] = field(default_factory=list)
    receipt: LedgerPosition | None = None


class Ticket(Struct, frozen=True):
    """The signed ticket of one seat."""

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
    """The name is empty when the shop takes no payments."""

    provider: str
    takes_test_cards: bool = False


class Tokens(Struct, frozen=True):
    access_token: str
    expires_in: int


class CustomerProfile(Struct, frozen=True):
    customer_id: str = ""
    email: str = ""
    name: str = ""
    phone: str | None = None
    role: str = "customer"


class TestCard(Struct, frozen=True):
    """A token of the sandbox bank and the outcome of paying with it."""

    token: str
    name: str
    outcome: str


TEST_CARDS = (
    TestCard("tok_approve", "Test card", "Approved at once"),
    TestCard("tok_decline", "Declined card", "Declined; nothing is charged"),
    TestCard("tok_insufficient_funds", "Empty card", "Declined: not enough money"),
    TestCard("tok_3ds", "Card with confirmation", "The bank asks you to confirm"),
    TestCard("tok_late", "Slow card", "Approved after a while"),
    TestCard("tok_timeout_then_success", "Timeout, then approved", "No answer at first"),
    TestCard("tok_webhook_first", "Webhook before the response", "The bank's message comes first"),
    TestCard("tok_success_twice", "Approved twice", "The bank sends its approval twice"),
    TestCard("tok_down", "Bank offline", "The bank does not answer"),
)


class PurchaseState(Enum):
    """How far a purchase has come."""

    WAIT = "wait"
    PAID = "paid"
    TICKET = "ticket"
    DECLINED = "declined"
    REFUNDED = "refunded"


def purchase_state(payment: Payment, booking: Booking | None) -> PurchaseState:
    """PAID lasts from the payment's success to the booking's confirmation."""
    if payment.status == "failed":
        return PurchaseState.DECLINED
    returned = booking.refused_payments if booking else ()
    reasons = [one.reason for one in returned if one.payment_id == payment.payment_id]
    if reasons and reasons != ["already_paid"]:
        return PurchaseState.REFUNDED
    if booking is not None and booking.status in {"confirmed", "cancelled"}:
        return PurchaseState.TICKET
    if payment.status in {"refunded", "partially_refunded"}:
        return PurchaseState.REFUNDED
    return PurchaseState.PAID if payment.status == "success" else PurchaseState.WAIT


def shows_by_theater(shows: Iterable[Show]) -> list[tuple[Show, list[Show]]]:
    """Each theater's first show and all its shows, in order of appearance."""
    grouped: dict[str, list[Show]] = {}
    for show in shows:
        grouped.setdefault(show.theater_id, []).append(show)
    return [(group[0], group) for group in grouped.values()]


def shows_by_movie(shows: Iterable[Show]) -> list[tuple[Show, list[Show]]]:
    """Each movie's first show and all its shows, in order of appearance."""
    grouped: dict[str, list[Show]] = {}
    for show in shows:
        grouped.setdefault(show.movie_id, []).append(show)
    return [(group[0], group) for group in grouped.values()]


def alternatives_of(members: Mapping[str, Any]) -> list[list[str]]:
    """The groups of free seats that a conflict offers, the best first."""
    return [_labels(group) for group in members.get("alternatives") or () if _labels(group)]


def groups_of(members: Mapping[str, Any]) -> list[list[list[str]]]:
    """Each alternative, split by row, if the conflict says so."""
    return [[_labels(group) for group in groups] for groups in members.get("groups") or ()]


def fewer_of(members: Mapping[str, Any]) -> list[list[str]]:
    """The groups of seats that are left when there are fewer than requested."""
    return [_labels(group) for group in members.get("fewer") or ()]


def _labels(group: Any) -> list[str]:
    """A group is a list of labels, or an object with such a list and a price."""
    seats = group.get("seats", ()) if isinstance(group, Mapping) else group
    return [str(seat) for seat in seats] if isinstance(seats, Sequence) else []
