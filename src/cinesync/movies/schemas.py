"""Response bodies of the movies service; the commands in `model` are its request bodies."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class MovieView:
    """A film. `imdb_rating` is 0 to 10, `tomatoes_percent` 0 to 100."""

    movie_id: UUID
    title: str
    type: str
    language: str
    certificate: str | None
    genre: str | None
    running_minutes: int | None
    release_date: date | None
    director: str | None
    distributor: str | None
    source: str | None
    creative_type: str | None
    tomatoes_percent: int | None
    imdb_rating: float | None
    imdb_votes: int | None
    popularity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TheaterView:
    """A theater. `time_zone` is an IANA name, `currency` ISO 4217.

    A show that starts before `day_starts`, local time, belongs to the business day before.
    """

    theater_id: UUID
    region: str
    name: str
    city: str
    country: str
    address: str
    time_zone: str
    currency: str
    day_starts: str
    auditorium_count: int
    seat_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditoriumView:
    """An auditorium of a theater."""

    auditorium_id: UUID
    name: str
    format: str
    layout_id: UUID
    seat_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TheaterPage:
    """A theater with its auditoriums."""

    theater_id: UUID
    region: str
    name: str
    city: str
    country: str
    address: str
    time_zone: str
    currency: str
    day_starts: str
    auditorium_count: int
    seat_count: int
    auditoriums: Sequence[AuditoriumView]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterOptions:
    """The values that the filters of films accept."""

    types: Sequence[str]
    certificates: Sequence[str]
    genres: Sequence[str]
    languages: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class CityView:
    """A city with theaters."""

    city: str
    country: str
    region: str
    theater_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysView:
    """The business days with shows that have not started, the next one first."""

    items: Sequence[date]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowView:
    """A show. `starts_at` and `ends_at` have the theater's offset from UTC.

    `local_date` and `local_time` are the theater's; `business_date` is the day that lists the show,
    the day before for a show after midnight. Prices are in minor units of `currency`, per zone.
    `seats_left` can be bought now; `seats_held` are on hold and may become free.
    """

    show_id: UUID
    region: str
    movie_id: UUID
    movie_title: str
    movie_type: str
    certificate: str | None
    running_minutes: int | None
    theater_id: UUID
    theater_name: str
    city: str
    time_zone: str
    auditorium_id: UUID
    auditorium_name: str
    layout_id: UUID
    starts_at: datetime
    ends_at: datetime
    local_date: date
    business_date: date
    local_time: str
    format: str
    language: str
    subtitles: str | None
    currency: str
    price_from_cents: int
    prices_cents: Mapping[str, int]
    seat_count: int
    seats_left: int
    status: str
    cancel_reason: str | None
    announced_at: datetime | None
    revision: int
    seats_held: int = 0
