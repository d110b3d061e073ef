"""Statements behind the lists that clients read: films, theaters, cities and shows."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Text,
    Uuid,
    bindparam,
    func,
    select,
)

from cinesync.chassis.database import Row, Statement, Transaction, compiled, text
from cinesync.movies import tables
from cinesync.movies.ratings import CERTIFICATES
from cinesync.movies.schemas import AuditoriumView, CityView, MovieView, ShowView, TheaterView

DAYS_MAX = 60
_WILDCARDS = re.compile(r"[%_\\]")

_MOVIE = (
    "e.movie_id, e.title, e.type, e.language, e.certificate, e.genre, e.running_minutes,"
    " e.release_date, e.director, e.distributor, e.source, e.creative_type, e.tomatoes_percent,"
    " e.imdb_tenths, e.imdb_votes, e.popularity"
)
_THEATER = (
    "t.theater_id, t.region, t.name, t.city, t.country, t.address, t.time_zone, t.currency,"
    " t.day_starts_minutes,"
    " (SELECT count(*) FROM auditoriums AS a WHERE a.region = t.region"
    " AND a.theater_id = t.theater_id) AS auditorium_count,"
    " (SELECT CAST(COALESCE(sum(a.seat_count), 0) AS bigint) FROM auditoriums AS a"
    " WHERE a.region = t.region AND a.theater_id = t.theater_id) AS seat_count"
)
_BUSINESS_DATE = (
    "CAST((s.starts_at AT TIME ZONE t.time_zone)"
    " - t.day_starts_minutes * interval '1 minute' AS date)"
)
_SHOW = (
    "s.show_id, s.region, s.movie_id, e.title AS movie_title, e.type AS movie_type,"
    " e.certificate, e.running_minutes, s.theater_id, t.name AS theater_name, t.city, t.time_zone,"
    " s.auditorium_id, a.name AS auditorium_name, s.layout_id, s.starts_at, s.ends_at,"
    f" s.local_date, {_BUSINESS_DATE} AS business_date,"
    " s.format, s.language, s.subtitles, s.currency, s.prices_cents, s.seat_count,"
    " s.seats_taken, s.status, s.cancel_reason,"
    " s.announced_at, s.revision"
    " FROM shows AS s"
    " JOIN events AS e ON e.movie_id = s.movie_id"
    " JOIN theaters AS t ON t.region = s.region AND t.theater_id = s.theater_id"
    " JOIN auditoriums AS a ON a.region = s.region AND a.auditorium_id = s.auditorium_id"
)

# The index is by UTC time. A local date begins up to 14 hours before that of UTC and ends up to 12
# hours after it, and a business day begins up to 12 hours later.
_ON_DAY = (
    f"(:day IS NULL OR ({_BUSINESS_DATE} = :day"
    " AND s.starts_at >= (:day - interval '14 hours') AT TIME ZONE 'UTC'"
    " AND s.starts_at < (:day + interval '48 hours') AT TIME ZONE 'UTC'))"
)
_AFTER_DAY = (
    f"(:after_day IS NULL OR ({_BUSINESS_DATE} > :after_day"
    " AND s.starts_at >= (:after_day + interval '10 hours') AT TIME ZONE 'UTC'))"
)
_ON_SALE = (
    "s.status = 'scheduled' AND s.starts_at > now()"
    f" AND {_ON_DAY} AND {_AFTER_DAY}"
    " AND (:after_id IS NULL OR (s.starts_at, s.show_id)"
    " > (:after_start, :after_id))"
)
_AT_THEATER = (
    "(:theater_id IS NULL OR t.theater_id = :theater_id)"
    " AND (:city_key IS NULL OR t.city_key = :city_key)"
)
# The next shows of each theater, and of those the next: few rows, however many shows there are.
_NEXT_OF_THEATERS = (
    "SELECT n.region, n.show_id, n.starts_at FROM theaters AS t CROSS JOIN LATERAL ("  # noqa: S608 constants
    "SELECT s.region, s.show_id, s.starts_at FROM shows AS s"
    f" WHERE s.region = t.region AND s.theater_id = t.theater_id AND {_ON_SALE}"
    " ORDER BY s.starts_at ASC, s.show_id ASC LIMIT :limit) AS n"
    f" WHERE {_AT_THEATER}"
)
_NEXT_OF_MOVIE = (
    "SELECT s.region, s.show_id, s.starts_at FROM shows AS s"  # noqa: S608 constants
    " JOIN theaters AS t ON t.region = s.region AND t.theater_id = s.theater_id"
    f" WHERE s.movie_id = :movie_id AND {_ON_SALE} AND {_AT_THEATER}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MovieFilter:
    """Which films; None means any. All `words` must be in title or director."""

    type: str | None = None
    language: str | None = None
    certificate: str | None = None
    genre: str | None = None
    running_minutes_max: int | None = None
    words: Sequence[str] | None = None
    city_key: str | None = None
    day: date | None = None
    showing: bool = False
    after_popularity: int | None = None
    after_id: UUID | None = None
    limit: int = 24


MOVIES = text(
    f"SELECT {_MOVIE} FROM events AS e"  # noqa: S608 constants
    " WHERE (:type IS NULL OR e.type = :type)"
    " AND (:language IS NULL OR e.language = :language"
    " OR EXISTS (SELECT 1 FROM shows AS v WHERE v.movie_id = e.movie_id"
    " AND v.status = 'scheduled' AND v.starts_at > now()"
    " AND v.language = :language))"
    " AND (:certificate IS NULL OR e.certificate = :certificate)"
    " AND (:genre IS NULL OR e.genre = :genre)"
    " AND (:running_minutes_max IS NULL OR e.running_minutes <= :running_minutes_max)"
    " AND (:patterns IS NULL"
    " OR e.search_text LIKE ALL (:patterns))"
    " AND (NOT :on_sale OR EXISTS ("
    "SELECT 1 FROM shows AS s"
    " JOIN theaters AS t ON t.region = s.region AND t.theater_id = s.theater_id"
    " WHERE s.movie_id = e.movie_id AND s.status = 'scheduled' AND s.starts_at > now()"
    " AND (:city_key IS NULL OR t.city_key = :city_key)"
    f" AND {_ON_DAY}))"
    " AND (:after_id IS NULL OR (e.popularity, e.movie_id)"
    " < (:after_popularity, :after_id))"
    " ORDER BY e.popularity DESC, e.movie_id DESC LIMIT :limit",
    tables.events,
    tables.theaters,
    running_minutes_max=BigInteger,
    patterns=ARRAY(Text),
    on_sale=Boolean,
    day=Date,
    after_popularity=BigInteger,
    after_id=Uuid,
    limit=BigInteger,
)


async def movies(tx: Transaction, where: MovieFilter) -> list[MovieView]:
    """The best known first. City, date and `showing` need a show that has not started."""
    found = await tx.execute(
        MOVIES,
        {
            "type": where.type,
            "language": where.language,
            "certificate": where.certificate,
            "genre": where.genre,
            "running_minutes_max": where.running_minutes_max,
            "patterns": [_like_pattern(word) for word in where.words] if where.words else None,
            "on_sale": where.showing or where.city_key is not None or where.day is not None,
            "city_key": where.city_key,
            "day": where.day,
            "after_popularity": where.after_popularity,
            "after_id": where.after_id,
            "limit": where.limit,
        },
    )
    return [_movie(row) for row in found]


MOVIE = text(
    f"SELECT {_MOVIE} FROM events AS e WHERE e.movie_id = :movie_id",  # noqa: S608 constants
    tables.events,
)


async def movie(tx: Transaction, movie_id: UUID) -> MovieView | None:
    """One film."""
    row = (await tx.execute(MOVIE, {"movie_id": movie_id})).first()
    return _movie(row) if row else None


GENRES = compiled(
    select(tables.events.c.genre)
    .distinct()
    .where(tables.events.c.genre.is_not(None))
    .order_by(tables.events.c.genre)
)


async def genres(tx: Transaction) -> list[str]:
    """Every genre that a film has."""
    return list((await tx.execute(GENRES)).scalars())


CERTIFICATES_OF_FILMS = compiled(
    select(tables.events.c.certificate).distinct().where(tables.events.c.certificate.is_not(None))
)


async def certificates(tx: Transaction) -> list[str]:
    """Every certificate that a film has, in the order of the boards, then unknown ones."""
    found = set((await tx.execute(CERTIFICATES_OF_FILMS)).scalars())
    return [*(one for one in CERTIFICATES if one in found), *sorted(found.difference(CERTIFICATES))]


LANGUAGES = text(
    "WITH RECURSIVE heard AS (SELECT min(s.language) AS language FROM shows AS s"
    " WHERE s.status = 'scheduled' UNION ALL SELECT (SELECT min(s.language) FROM shows AS s"
    " WHERE s.status = 'scheduled' AND s.language > h.language) FROM heard AS h"
    " WHERE h.language IS NOT NULL)"
    " SELECT e.language FROM events AS e UNION SELECT h.language FROM heard AS h"
    " WHERE EXISTS (SELECT 1 FROM shows AS s WHERE s.status = 'scheduled'"
    " AND s.language = h.language AND s.starts_at > now()) ORDER BY language ASC"
)


async def languages(tx: Transaction) -> list[str]:
    """Every language that a film was made in or a future show has.

    The recursion goes from one language to the next by index: any number of shows has few of them.
    """
    return list((await tx.execute(LANGUAGES)).scalars())


THEATERS = text(
    f"SELECT {_THEATER} FROM theaters AS t"  # noqa: S608 constants
    " WHERE (:city_key IS NULL OR t.city_key = :city_key)"
    " AND (:theater_id IS NULL OR (t.city, t.name, t.theater_id)"
    " > (:city, :name, :theater_id))"
    " ORDER BY t.city ASC, t.name ASC, t.theater_id ASC LIMIT :limit",
    tables.theaters,
    limit=BigInteger,
)


async def theaters(
    tx: Transaction, city_key: str | None, after: tuple[str, str, UUID] | None, limit: int
) -> list[TheaterView]:
    """By city and name; `after` is the (city, name, id) of the page before."""
    city, name, theater_id = after or (None, None, None)
    values = {"city_key": city_key, "city": city, "name": name, "theater_id": theater_id}
    found = await tx.execute(THEATERS, {**values, "limit": limit})
    return [_theater(row) for row in found]


THEATER = text(
    f"SELECT {_THEATER} FROM theaters AS t WHERE t.theater_id = :theater_id",  # noqa: S608 constants
    tables.theaters,
)


async def theater(tx: Transaction, theater_id: UUID) -> TheaterView | None:
    """One theater."""
    row = (await tx.execute(THEATER, {"theater_id": theater_id})).first()
    return _theater(row) if row else None


AUDITORIUMS = compiled(
    select(
        tables.auditoriums.c.auditorium_id,
        tables.auditoriums.c.name,
        tables.auditoriums.c.format,
        tables.auditoriums.c.layout_id,
        tables.auditoriums.c.seat_count,
    )
    .where(tables.auditoriums.c.theater_id == bindparam("theater_id"))
    .order_by(tables.auditoriums.c.seat_count.desc(), tables.auditoriums.c.name)
)


async def auditoriums(tx: Transaction, theater_id: UUID) -> list[AuditoriumView]:
    """The auditoriums of a theater, the biggest first."""
    found = await tx.execute(AUDITORIUMS, {"theater_id": theater_id})
    return [AuditoriumView(**row) for row in found]


_CITY = (tables.theaters.c.city, tables.theaters.c.country, tables.theaters.c.region)
CITIES = compiled(
    select(*_CITY, func.count().label("theater_count"))
    .group_by(*_CITY)
    .order_by(tables.theaters.c.city, tables.theaters.c.region)
)


async def cities(tx: Transaction) -> list[CityView]:
    """Every city with a theater."""
    return [CityView(**row) for row in (await tx.execute(CITIES))]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowFilter:
    """Which shows; None means any. Days are the theater's business days."""

    movie_id: UUID | None = None
    theater_id: UUID | None = None
    city_key: str | None = None
    day: date | None = None
    after_day: date | None = None
    after_start: datetime | None = None
    after_id: UUID | None = None
    limit: int = 100


def _shows(following: str) -> Statement:
    """The shows that the subquery `following` finds, with all their columns."""
    return text(
        f"WITH following AS ({following}"
        " ORDER BY starts_at ASC, show_id ASC LIMIT :limit)"
        f" SELECT {_SHOW} JOIN following AS f ON f.region = s.region AND f.show_id = s.show_id"
        " ORDER BY s.starts_at ASC, s.show_id ASC",
        tables.shows,
        tables.theaters,
        day=Date,
        after_day=Date,
        after_start=DateTime(timezone=True),
        after_id=Uuid,
        limit=BigInteger,
    )


SHOWS, SHOWS_OF_MOVIE = _shows(_NEXT_OF_THEATERS), _shows(_NEXT_OF_MOVIE)


async def shows(tx: Transaction, where: ShowFilter) -> list[ShowView]:
    """Scheduled shows that have not started, the next one first."""
    statement = SHOWS if where.movie_id is None else SHOWS_OF_MOVIE
    names = ShowFilter.__dataclass_fields__
    found = await tx.execute(statement, {name: getattr(where, name) for name in names})
    return [_show(row) for row in found]


async def days(tx: Transaction, where: ShowFilter) -> list[date]:
    """The business days with a show that has not started, the next one first.

    One statement per day finds the next day by index, DAYS_MAX times at most.
    """
    found: list[date] = []
    while len(found) < DAYS_MAX:
        after = found[-1] if found else None
        following = await shows(tx, replace(where, after_day=after, limit=1))
        if not following:
            break
        found.append(following[0].business_date)
    return found


SHOW = text(
    f"SELECT {_SHOW} WHERE s.show_id = :show_id",
    tables.shows,
)


async def show(tx: Transaction, show_id: UUID) -> ShowView | None:
    """One show, cancelled or started ones too."""
    row = (await tx.execute(SHOW, {"show_id": show_id})).first()
    return _show(row) if row else None


def _like_pattern(word: str) -> str:
    """The pattern of LIKE for texts with this word; wildcards in it are escaped."""
    escaped = _WILDCARDS.sub(lambda sign: "\\" + sign[0], word)
    return f"%{escaped}%"


def _movie(row: Row) -> MovieView:
    values: dict[str, Any] = dict(row)
    tenths = values.pop("imdb_tenths")
    return MovieView(**values, imdb_rating=None if tenths is None else tenths / 10)


def _theater(row: Row) -> TheaterView:
    values: dict[str, Any] = dict(row)
    hours, minutes = divmod(values.pop("day_starts_minutes"), 60)
    return TheaterView(**values, day_starts=f"{hours:02}:{minutes:02}")


def _show(row: Row) -> ShowView:
    values: dict[str, Any] = dict(row)
    zone = ZoneInfo(values["time_zone"])
    seats_left = values["seat_count"] - values.pop("seats_taken")
    values["starts_at"] = values["starts_at"].astimezone(zone)
    values["ends_at"] = values["ends_at"].astimezone(zone)
    if values["announced_at"] is not None:
        values["announced_at"] = values["announced_at"].astimezone(zone)
    return ShowView(
        **values,
        local_time=values["starts_at"].strftime("%H:%M"),
        price_from_cents=min(values["prices_cents"].values()),
        # A cancellation's event may come before that of its booking.
        seats_left=min(max(seats_left, 0), values["seat_count"]),
    )
