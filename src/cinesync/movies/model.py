"""Films, theaters and shows: types, state table, rules and errors. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

from msgspec import Meta, Struct

from cinesync.chassis import money
from cinesync.chassis.problems import Problem
from cinesync.movies.text import identity, search_form

TYPES = ("film", "live", "concert")
FORMATS = ("2D", "3D", "IMAX", "Atmos")
ZONES = ("front", "standard", "premium", "balcony", "sofa", "vip")

TRAILERS = timedelta(minutes=15)
CLEANING = timedelta(minutes=20)
SALES_CLOSE_MINUTES_MAX = 7 * 24 * 60
RUNNING_MINUTES_MAX = 600
SHOW_LENGTH_MAX = timedelta(hours=10)
PRICE_CENTS_MAX = 1_000_000_000  # minor units: Rp 50,000.00 is 5,000,000 of them


class MoviesError(Problem):
    """The movies service cannot do this."""


class NoSuchMovie(MoviesError):
    """There is no film with that id."""

    status: ClassVar[int] = 404


class NoSuchTheater(MoviesError):
    """There is no theater with that id."""

    status: ClassVar[int] = 404


class NoSuchAuditorium(MoviesError):
    """There is no auditorium with that id."""

    status: ClassVar[int] = 404


class NoSuchShow(MoviesError):
    """There is no show with that id."""

    status: ClassVar[int] = 404


class ShowOverlaps(MoviesError):
    """Another show needs this auditorium at that time."""

    status: ClassVar[int] = 409


class ShowOver(MoviesError):
    """This show is cancelled or has started, and stays as it is."""

    status: ClassVar[int] = 409


class ShowUnfit(MoviesError):
    """The show cannot be planned like this."""

    status: ClassVar[int] = 422


class ShowStatus(StrEnum):
    """The states of a show."""

    SCHEDULED = "scheduled"
    CANCELLED = "cancelled"


class ShowTransition(StrEnum):
    """What changes a show."""

    EDIT = "edit"
    CANCEL = "cancel"


class MoviesAuditAction(StrEnum):
    """The actions in this service's audit log."""

    SHOW_SCHEDULED = "show.scheduled"
    SHOW_MOVED = "show.moved"
    PRICES_CHANGED = "show.prices_changed"
    SALE_CHANGED = "show.sale_changed"
    SHOW_CANCELLED = "show.cancelled"
    MOVIES_IMPORTED = "movies.imported"
    THEATER_CHANGED = "theater.changed"


NEXT: Mapping[tuple[ShowStatus, ShowTransition], ShowStatus] = {
    (ShowStatus.SCHEDULED, ShowTransition.EDIT): ShowStatus.SCHEDULED,
    (ShowStatus.SCHEDULED, ShowTransition.CANCEL): ShowStatus.CANCELLED,
}


def next_status(status: ShowStatus, transition: ShowTransition) -> ShowStatus:
    """The state that a transition leads to. Raises ShowOver."""
    try:
        return NEXT[status, transition]
    except KeyError:
        raise ShowOver(f"The show is {status} already.") from None


class Daypart(StrEnum):
    """A part of the day; a price card has prices for each."""

    MORNING = "morning"
    AFTERNOON = "afternoon"
    EVENING = "evening"
    LATE = "late"


def daypart(local: datetime) -> Daypart:
    """The part of the day of a local start time; after midnight is still late."""
    if local.hour < 5 or local.hour >= 22:  # noqa: PLR2004 hours read as hours
        return Daypart.LATE
    if local.hour < 12:  # noqa: PLR2004
        return Daypart.MORNING
    return Daypart.AFTERNOON if local.hour < 17 else Daypart.EVENING  # noqa: PLR2004


TitleKey = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Movie:
    """A film as a source describes it. None: the source has no value.

    A film is stored with defaults for `type` and `language`. `imdb_tenths` and `tomatoes_percent`
    are 0 to 100.
    """

    title: str
    release_date: date | None = None
    type: str | None = None
    language: str | None = None
    certificate: str | None = None
    genre: str | None = None
    running_minutes: int | None = None
    director: str | None = None
    distributor: str | None = None
    source: str | None = None
    creative_type: str | None = None
    tomatoes_percent: int | None = None
    imdb_tenths: int | None = None
    imdb_votes: int | None = None

    def key(self) -> TitleKey:
        """Two records are the same film if title and year are equal; an unknown year is 0."""
        return identity(self.title), self.release_date.year if self.release_date else 0

    def search_text(self) -> str:
        """The text that a search reads; the title without spaces too, for `spiderman`.

        A title without letters, such as `$`, is in it unchanged.
        """
        words = search_form(f"{self.title} {self.director or ''}")
        return f"{words} {search_form(self.title).replace(' ', '') or identity(self.title)}"


def merge(known: Movie, update: Movie) -> Movie:
    """The known values, overridden by those of `update` that are not None."""
    values = {f.name: getattr(update, f.name) for f in fields(Movie)}
    return replace(known, **{name: value for name, value in values.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Theater:
    """A theater. `time_zone` is an IANA name, `currency` ISO 4217."""

    theater_id: UUID
    region: str
    name: str
    city: str
    country: str
    address: str
    time_zone: str
    currency: str

    def local(self, instant: datetime) -> datetime:
        """The theater's local time."""
        return instant.astimezone(ZoneInfo(self.time_zone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Auditorium:
    """An auditorium of a theater."""

    auditorium_id: UUID
    region: str
    theater_id: UUID
    name: str
    format: str
    layout_id: UUID
    seat_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """A film in an auditorium at a time. Times are UTC.

    `ends_at` is when the film ends, `free_at` when the auditorium is clean again. `announced_at` is
    the first start time of a show that was moved.
    """

    show_id: UUID
    region: str
    movie_id: UUID
    theater_id: UUID
    auditorium_id: UUID
    layout_id: UUID
    starts_at: datetime
    ends_at: datetime
    free_at: datetime
    local_date: date
    format: str
    language: str
    subtitles: str | None
    currency: str
    prices_cents: Mapping[str, int]
    seat_count: int
    status: str = ShowStatus.SCHEDULED
    revision: int = 1
    cancel_reason: str | None = None
    announced_at: datetime | None = None
    sales_close_minutes: int | None = None

    def language_label(self) -> str:
        """Language and subtitles as a ticket shows them."""
        return f"{self.language} (subtitles {self.subtitles})" if self.subtitles else self.language


PricesCents = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=40)],
        Annotated[int, Meta(ge=0, le=PRICE_CENTS_MAX)],
    ],
    Meta(min_length=1, max_length=len(ZONES)),
]
OffsetDatetime = Annotated[
    datetime, Meta(tz=True, description="with an offset: 2026-11-21T19:30:00-05:00")
]
LanguageCode = Annotated[str, Meta(pattern=r"^[a-z]{2,3}$")]


class ChangeTheater(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Change when the business day starts: earlier shows belong to the day before."""

    day_starts: Annotated[
        str, Meta(pattern=r"^(0\d|1[01]):[0-5]\d$|^12:00$", description="00:00 to 12:00")
    ]

    @property
    def day_starts_minutes(self) -> int:
        """Minutes after midnight."""
        hours, _, minutes = self.day_starts.partition(":")
        return int(hours) * 60 + int(minutes)


SalesClose = Annotated[int, Meta(ge=-SALES_CLOSE_MINUTES_MAX, le=SALES_CLOSE_MINUTES_MAX)]


class ScheduleShow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Plan a film in an auditorium. Missing members follow from film, auditorium and price card."""

    movie_id: UUID
    auditorium_id: UUID
    starts_at: OffsetDatetime
    running_minutes: Annotated[int, Meta(ge=1, le=RUNNING_MINUTES_MAX)] | None = None
    language: LanguageCode | None = None
    subtitles: LanguageCode | None = None
    prices_cents: PricesCents | None = None
    sales_close_minutes: SalesClose | None = None


class ChangeShow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Move a show, change prices of some zones, or change when its sale closes.

    `sales_close_minutes` counts from the start; it is negative before it. Missing members stay.
    """

    starts_at: OffsetDatetime | None = None
    prices_cents: PricesCents | None = None
    sales_close_minutes: SalesClose | None = None


class CancelShow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a show does not take place; customers read it."""

    reason: Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """A time in which an auditorium is taken. It is free again at `free_at`."""

    starts_at: datetime
    free_at: datetime

    def overlaps(self, other: "TimeRange") -> bool:
        """Whether the two have time in common."""
        return self.starts_at < other.free_at and other.starts_at < self.free_at


def film_end(starts_at: datetime, running_minutes: int) -> datetime:
    """When the film ends; trailers come first."""
    return starts_at + TRAILERS + timedelta(minutes=running_minutes)


def price_zones(
    card: Mapping[str, int],
    overrides: Mapping[str, int] | None,
    zones: Iterable[str],
    currency: str,
) -> dict[str, int]:
    """The price of each zone in minor units.

    Raises ShowUnfit for zones that the auditorium does not have, for zones without a price, and for
    prices that no card can pay.
    """
    existing = sorted(set(zones))
    unknown = sorted(set(overrides or ()) - set(existing))
    if unknown:
        raise ShowUnfit(
            f"This auditorium has no zone {', '.join(unknown)}; it has {', '.join(existing)}.",
            field="prices_cents",
        )
    _refuse_unpayable(overrides or {}, currency)
    prices = {zone: card[zone] for zone in existing if zone in card} | dict(overrides or {})
    missing = [zone for zone in existing if zone not in prices]
    if missing:
        raise ShowUnfit(
            f"The price card has no price for {', '.join(missing)}; set it in prices_cents.",
            field="prices_cents",
        )
    return prices


def _refuse_unpayable(prices_cents: Mapping[str, int], currency: str) -> None:
    step = money.payable_step(currency)
    for zone, cents in prices_cents.items():
        if cents % step:
            raise ShowUnfit(
                f"{money.plain(cents, currency)} for {zone} cannot be paid by card; prices in"
                f" {currency} are multiples of {money.plain(step, currency)}.",
                field="prices_cents",
            )
