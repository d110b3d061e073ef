"""The HTTP door: browsing for everybody, programming for managers."""

import re
from collections.abc import Mapping
from datetime import date as Date  # noqa: N812 `date` is a query parameter here
from datetime import datetime
from typing import Annotated, NamedTuple, TypeVar, cast
from uuid import UUID

import msgspec
from litestar import Response, get, patch, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.router import Router

from cinesync.chassis.database import Database
from cinesync.chassis.http.app import refuse_unknown_query
from cinesync.chassis.http.audit_log_api import actor_of
from cinesync.chassis.http.cursor import Page, decode_cursor, instant, integer, page_of
from cinesync.chassis.http.etags import etag_of, matches
from cinesync.chassis.http.parameters import (
    After,
    AnyRequest,
    Limit,
    SignedInCaller,
    TextFilter,
    limit_up_to,
    plain_text,
)
from cinesync.chassis.http.security.access_tokens import require
from cinesync.chassis.problems import Invalid
from cinesync.movies import list_store, service
from cinesync.movies.list_store import MovieFilter, ShowFilter
from cinesync.movies.model import (
    TYPES,
    CancelShow,
    ChangeShow,
    ChangeTheater,
    NoSuchMovie,
    NoSuchShow,
    NoSuchTheater,
    ScheduleShow,
)
from cinesync.movies.ratings import CERTIFICATES
from cinesync.movies.schemas import (
    CityView,
    DaysView,
    FilterOptions,
    MovieView,
    ShowView,
    TheaterPage,
    TheaterView,
)
from cinesync.movies.seats_left import SeatsLeft
from cinesync.movies.text import identity, normal

T = TypeVar("T")
Db = NamedDependency[Database]


class Shows(NamedTuple):
    """Where shows are read, and who knows how many of their seats are left.

    One dependency: two would be run in a task group.
    """

    db: Database
    left: SeatsLeft


TheShows = NamedDependency[Shows]

WORDS_MAX = 10
CATALOGUE_SECONDS = 30  # how long a browser or a proxy may show films and theaters unasked
SHOWS_SECONDS = 2  # seats left change, and trail sales by moments anyway

Day = Annotated[
    str | None,
    QueryParameter(max_length=40, description="2026-11-21, in the theater's own calendar"),
]
ShowLimit = Annotated[int, limit_up_to(200)]


@get("/movies")
async def list_movies(  # noqa: PLR0913, PLR0917 each is a query parameter, bound by name
    request: AnyRequest,
    db: Db,
    type: TextFilter = None,  # noqa: A002 the contract's name
    language: TextFilter = None,
    certificate: TextFilter = None,
    genre: TextFilter = None,
    q: TextFilter = None,
    city: TextFilter = None,
    date: Day = None,
    showing: FromQuery[bool] = False,  # noqa: FBT002 a query parameter
    after: After = None,
    limit: Limit = 24,
) -> Response[Page[MovieView]]:
    """Films, best known first. `q` looks for words of title and director; city, date and
    `showing` keep those with a show that can still be bought."""
    popularity, movie_id = decode_cursor(after, integer, UUID) or (None, None)
    wanted = MovieFilter(
        type=_one_of("type", type, TYPES),
        language=_language(language),
        certificate=_one_of("certificate", certificate, CERTIFICATES),
        genre=plain_text("genre", genre),
        words=_words(q),
        city_key=_city_key(city),
        day=_day(date),
        showing=showing,
        after_popularity=popularity,
        after_id=movie_id,
        limit=limit + 1,
    )
    found = await db.run_one(list_store.movies, wanted)
    page = page_of(found, limit, lambda movie: (movie.popularity, movie.movie_id))
    return fresh(request, page, CATALOGUE_SECONDS)


@get("/movies/{movie_id:uuid}")
async def get_movie(request: AnyRequest, db: Db, movie_id: FromPath[UUID]) -> Response[MovieView]:
    """One film."""
    movie = await db.run_one(list_store.movie, movie_id)
    if movie is None:
        raise NoSuchMovie(movie_id=str(movie_id))
    return fresh(request, movie, CATALOGUE_SECONDS)


@get("/filters")
async def get_filters(request: AnyRequest, db: Db) -> Response[FilterOptions]:
    """What the filters of films can be set to."""
    filters = FilterOptions(
        types=TYPES,
        certificates=await db.run_one(list_store.certificates),
        genres=await db.run_one(list_store.genres),
        languages=await db.run_one(list_store.languages),
    )
    return fresh(request, filters, CATALOGUE_SECONDS)


@get("/theaters")
async def list_theaters(
    request: AnyRequest, db: Db, city: TextFilter = None, after: After = None, limit: Limit = 50
) -> Response[Page[TheaterView]]:
    """Theaters by city and name."""
    last_seen = decode_cursor(after, str, str, UUID)
    found = await db.run_one(list_store.theaters, _city_key(city), last_seen, limit + 1)
    page = page_of(found, limit, lambda one: (one.city, one.name, one.theater_id))
    return fresh(request, page, CATALOGUE_SECONDS)


@get("/theaters/{theater_id:uuid}")
async def get_theater(
    request: AnyRequest, db: Db, theater_id: FromPath[UUID]
) -> Response[TheaterPage]:
    """A theater and its auditoriums."""
    theater = await db.run_one(list_store.theater, theater_id)
    if theater is None:
        raise NoSuchTheater(theater_id=str(theater_id))
    rooms = await db.run_one(list_store.auditoriums, theater_id)
    fields = {name: getattr(theater, name) for name in TheaterView.__dataclass_fields__}
    return fresh(request, TheaterPage(**fields, auditoriums=rooms), CATALOGUE_SECONDS)


@patch("/theaters/{theater_id:uuid}")
async def change_theater(
    request: AnyRequest,
    db: Db,
    caller: SignedInCaller,
    theater_id: FromPath[UUID],
    data: JSONBody[ChangeTheater],
) -> TheaterView:
    """Begin the business day at another time; for managers."""
    require(caller, "manager")
    await db.run(service.change_theater, theater_id, data, actor_of(request, caller))
    theater = await db.run_one(list_store.theater, theater_id)
    if theater is None:
        raise NoSuchTheater(theater_id=str(theater_id))
    return theater


@get("/cities")
async def list_cities(request: AnyRequest, db: Db) -> Response[Page[CityView]]:
    """Every city with a theater, on one page."""
    return fresh(request, Page(await db.run_one(list_store.cities), None), CATALOGUE_SECONDS)


@get("/shows")
async def list_shows(
    request: AnyRequest,
    shows: TheShows,
    movie_id: FromQuery[UUID | None] = None,
    theater_id: FromQuery[UUID | None] = None,
    city: TextFilter = None,
    date: Day = None,
    after: After = None,
    limit: ShowLimit = 100,
) -> Response[Page[ShowView]]:
    """Shows that have not started, the next one first.

    `date` is the theater's business day: a show at 00:30 belongs to the evening before.
    """
    starts_at, show_id = decode_cursor(after, instant, UUID) or (None, None)
    wanted = ShowFilter(
        movie_id=movie_id,
        theater_id=theater_id,
        city_key=_city_key(city),
        day=_day(date),
        after_start=starts_at,
        after_id=show_id,
        limit=limit + 1,
    )
    found = await shows.db.run_one(list_store.shows, wanted)
    page = page_of(found, limit, lambda show: (show.starts_at, show.show_id))
    return fresh(request, Page(await shows.left.told(page.items), page.next), SHOWS_SECONDS)


@get("/days")
async def list_days(
    request: AnyRequest,
    db: Db,
    movie_id: FromQuery[UUID | None] = None,
    theater_id: FromQuery[UUID | None] = None,
    city: TextFilter = None,
) -> Response[DaysView]:
    """The days with shows that have not started, however far ahead they are announced."""
    wanted = ShowFilter(movie_id=movie_id, theater_id=theater_id, city_key=_city_key(city))
    days = DaysView(items=await db.read(list_store.days, wanted))
    return fresh(request, days, CATALOGUE_SECONDS)


@get("/shows/{show_id:uuid}")
async def get_show(
    request: AnyRequest, shows: TheShows, show_id: FromPath[UUID]
) -> Response[ShowView]:
    """One show, started or cancelled ones too."""
    [show] = await shows.left.told([await _show(shows.db, show_id)])
    return fresh(request, show, SHOWS_SECONDS)


@post("/shows")
async def schedule_show(
    request: AnyRequest, db: Db, caller: SignedInCaller, data: JSONBody[ScheduleShow]
) -> ShowView:
    """Plan a show; for managers. Refused when the auditorium is taken at that time."""
    require(caller, "manager")
    by = actor_of(request, caller)
    return await _show(db, await db.run(service.schedule_show, data, by))


@patch("/shows/{show_id:uuid}")
async def change_show(
    request: AnyRequest,
    db: Db,
    caller: SignedInCaller,
    show_id: FromPath[UUID],
    data: JSONBody[ChangeShow],
) -> ShowView:
    """Move a show or change prices of zones; for managers."""
    require(caller, "manager")
    await db.run(service.change_show, show_id, data, actor_of(request, caller))
    return await _show(db, show_id)


@post("/shows/{show_id:uuid}/cancel", status_code=200)
async def cancel_show(
    request: AnyRequest,
    db: Db,
    caller: SignedInCaller,
    show_id: FromPath[UUID],
    data: JSONBody[CancelShow],
) -> ShowView:
    """Cancel a show; its bookings are refunded. For managers."""
    require(caller, "manager")
    await db.run(service.cancel_show, show_id, data.reason, actor_of(request, caller))
    return await _show(db, show_id)


HANDLERS = (
    list_movies,
    get_movie,
    get_filters,
    list_theaters,
    get_theater,
    change_theater,
    list_cities,
    list_shows,
    list_days,
    get_show,
    schedule_show,
    change_show,
    cancel_show,
)


def router(db: Database, left: SeatsLeft | None = None) -> Router:
    """Every route of the service, over its database; `left` knows which seats can be bought."""
    shows = Shows(db, left or SeatsLeft())
    return Router(
        path="/api/movies",
        route_handlers=HANDLERS,
        guards=[refuse_unknown_query],
        dependencies={
            "db": Provide(lambda: db, sync_to_thread=False),
            "shows": Provide(lambda: shows, sync_to_thread=False),
        },
    )


def fresh(request: AnyRequest, content: T, seconds: int) -> Response[T]:
    """The content with its ETag, or 304 when the client has it already (RFC 9110, 13.1.2)."""
    body = msgspec.json.encode(content)
    tag = etag_of(body)
    headers: Mapping[str, str] = {"ETag": tag, "Cache-Control": f"public, max-age={seconds}"}
    if matches(tag, request.headers.get("if-none-match", "")):
        return Response(cast(T, None), status_code=304, headers=headers)
    return Response(cast(T, body), media_type="application/json", headers=headers)


async def _show(db: Database, show_id: UUID) -> ShowView:
    show = await db.run_one(list_store.show, show_id)
    if show is None:
        raise NoSuchShow(show_id=str(show_id))
    return show


def _one_of(field: str, value: str | None, allowed: tuple[str, ...]) -> str | None:
    if not value:
        return None
    match = next((word for word in allowed if word.casefold() == value.casefold()), None)
    if match is None:
        raise Invalid(f"`{field}` is one of {', '.join(allowed)}.", field=field)
    return match


def _language(value: str | None) -> str | None:
    if value and not re.fullmatch(r"[A-Za-z]{2,3}", value):
        raise Invalid("`language` is an ISO 639 code such as en or fr.", field="language")
    return value.lower() if value else None


def _words(q: str | None) -> list[str] | None:
    """What to look for; signs alone are looked for as they are."""
    asked = q or ""
    return normal(asked).split()[:WORDS_MAX] or identity(asked).split()[:WORDS_MAX] or None


def _city_key(city: str | None) -> str | None:
    return normal(city) if city else None


def _day(value: str | None) -> Date | None:
    if not value:
        return None
    try:
        return datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007 a day has no zone
    except ValueError:
        raise Invalid("`date` is a day such as 2026-11-21.", field="date") from None
