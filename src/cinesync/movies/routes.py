"""HTTP routes: films, theaters and shows for everybody; scheduling for managers."""

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
from cinesync.movies import catalog_store, service
from cinesync.movies.catalog_store import MovieFilter, ShowFilter
from cinesync.movies.model import (
    RUNNING_MINUTES_MAX,
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
from cinesync.movies.text import identity, search_form

T = TypeVar("T")
InjectedDatabase = NamedDependency[Database]


class ShowSources(NamedTuple):
    """The database of shows, and booking's counts of their seats.

    It is one dependency, because Litestar starts a task group for two.
    """

    db: Database
    seats_left: SeatsLeft


InjectedShowSources = NamedDependency[ShowSources]

WORDS_MAX = 10
CATALOG_SECONDS = 30  # how long a browser or a proxy may cache films and theaters
SHOWS_SECONDS = 2  # and shows, whose seats left change with each sale

DateFilter = Annotated[
    str | None,
    QueryParameter(max_length=40, description="2026-11-21, in the theater's own calendar"),
]
MinutesFilter = Annotated[int | None, QueryParameter(ge=1, le=RUNNING_MINUTES_MAX)]


@get("/movies")
async def list_movies(  # noqa: PLR0913, PLR0917 each is a query parameter, bound by name
    request: AnyRequest,
    db: InjectedDatabase,
    type: TextFilter = None,  # noqa: A002 the contract's name
    language: TextFilter = None,
    certificate: TextFilter = None,
    genre: TextFilter = None,
    running_minutes_max: MinutesFilter = None,
    q: TextFilter = None,
    city: TextFilter = None,
    date: DateFilter = None,
    showing: FromQuery[bool] = False,  # noqa: FBT002 a query parameter
    after: After = None,
    limit: Limit = 24,
) -> Response[Page[MovieView]]:
    """Films, the best known first.

    `q` finds words of title and director. City, date and `showing` need a show that has not
    started.
    """
    popularity, movie_id = decode_cursor(after, integer, UUID) or (None, None)
    where = MovieFilter(
        type=_choice("type", type, TYPES),
        language=_language(language),
        certificate=_choice("certificate", certificate, CERTIFICATES),
        genre=plain_text("genre", genre),
        running_minutes_max=running_minutes_max,
        words=_words(q),
        city_key=_city_key(city),
        day=_day(date),
        showing=showing,
        after_popularity=popularity,
        after_id=movie_id,
        limit=limit + 1,
    )
    found = await db.run_one(catalog_store.movies, where)
    page = page_of(found, limit, lambda movie: (movie.popularity, movie.movie_id))
    return cacheable(request, page, CATALOG_SECONDS)


@get("/movies/{movie_id:uuid}")
async def get_movie(
    request: AnyRequest, db: InjectedDatabase, movie_id: FromPath[UUID]
) -> Response[MovieView]:
    """One film."""
    movie = await db.run_one(catalog_store.movie, movie_id)
    if movie is None:
        raise NoSuchMovie(movie_id=str(movie_id))
    return cacheable(request, movie, CATALOG_SECONDS)


@get("/filters")
async def get_filters(request: AnyRequest, db: InjectedDatabase) -> Response[FilterOptions]:
    """The values that the filters of films accept."""
    filters = FilterOptions(
        types=TYPES,
        certificates=await db.run_one(catalog_store.certificates),
        genres=await db.run_one(catalog_store.genres),
        languages=await db.run_one(catalog_store.languages),
    )
    return cacheable(request, filters, CATALOG_SECONDS)


@get("/theaters")
async def list_theaters(
    request: AnyRequest,
    db: InjectedDatabase,
    city: TextFilter = None,
    after: After = None,
    limit: Limit = 50,
) -> Response[Page[TheaterView]]:
    """Theaters by city and name."""
    last_seen = decode_cursor(after, str, str, UUID)
    found = await db.run_one(catalog_store.theaters, _city_key(city), last_seen, limit + 1)
    page = page_of(found, limit, lambda theater: (theater.city, theater.name, theater.theater_id))
    return cacheable(request, page, CATALOG_SECONDS)


@get("/theaters/{theater_id:uuid}")
async def get_theater(
    request: AnyRequest, db: InjectedDatabase, theater_id: FromPath[UUID]
) -> Response[TheaterPage]:
    """A theater and its auditoriums."""
    theater = await db.run_one(catalog_store.theater, theater_id)
    if theater is None:
        raise NoSuchTheater(theater_id=str(theater_id))
    auditoriums = await db.run_one(catalog_store.auditoriums, theater_id)
    fields = {name: getattr(theater, name) for name in TheaterView.__dataclass_fields__}
    return cacheable(request, TheaterPage(**fields, auditoriums=auditoriums), CATALOG_SECONDS)


@patch("/theaters/{theater_id:uuid}")
async def change_theater(
    request: AnyRequest,
    db: InjectedDatabase,
    caller: SignedInCaller,
    theater_id: FromPath[UUID],
    data: JSONBody[ChangeTheater],
) -> TheaterView:
    """Change when the business day starts; for managers."""
    require(caller, "manager")
    await db.run(service.change_theater, theater_id, data, actor_of(request, caller))
    theater = await db.run_one(catalog_store.theater, theater_id)
    if theater is None:
        raise NoSuchTheater(theater_id=str(theater_id))
    return theater


@get("/cities")
async def list_cities(request: AnyRequest, db: InjectedDatabase) -> Response[Page[CityView]]:
    """Every city with a theater, on one page."""
    return cacheable(request, Page(await db.run_one(catalog_store.cities), None), CATALOG_SECONDS)


@get("/shows")
async def list_shows(
    request: AnyRequest,
    sources: InjectedShowSources,
    movie_id: FromQuery[UUID | None] = None,
    theater_id: FromQuery[UUID | None] = None,
    city: TextFilter = None,
    date: DateFilter = None,
    after: After = None,
    limit: Annotated[int, limit_up_to(200)] = 100,
) -> Response[Page[ShowView]]:
    """Shows that have not started, the next one first.

    `date` is the theater's business day: a show at 00:30 belongs to the day before.
    """
    starts_at, show_id = decode_cursor(after, instant, UUID) or (None, None)
    where = ShowFilter(
        movie_id=movie_id,
        theater_id=theater_id,
        city_key=_city_key(city),
        day=_day(date),
        after_start=starts_at,
        after_id=show_id,
        limit=limit + 1,
    )
    found = await sources.db.run_one(catalog_store.shows, where)
    page = page_of(found, limit, lambda show: (show.starts_at, show.show_id))
    shows = await sources.seats_left.add_to(page.items)
    return cacheable(request, Page(shows, page.next), SHOWS_SECONDS)


@get("/days")
async def list_days(
    request: AnyRequest,
    db: InjectedDatabase,
    movie_id: FromQuery[UUID | None] = None,
    theater_id: FromQuery[UUID | None] = None,
    city: TextFilter = None,
) -> Response[DaysView]:
    """The days with shows that have not started."""
    where = ShowFilter(movie_id=movie_id, theater_id=theater_id, city_key=_city_key(city))
    days = DaysView(items=await db.read(catalog_store.days, where))
    return cacheable(request, days, CATALOG_SECONDS)


@get("/shows/{show_id:uuid}")
async def get_show(
    request: AnyRequest, sources: InjectedShowSources, show_id: FromPath[UUID]
) -> Response[ShowView]:
    """One show, started or cancelled ones too."""
    [show] = await sources.seats_left.add_to([await _show(sources.db, show_id)])
    return cacheable(request, show, SHOWS_SECONDS)


@post("/shows")
async def schedule_show(
    request: AnyRequest, db: InjectedDatabase, caller: SignedInCaller, data: JSONBody[ScheduleShow]
) -> ShowView:
    """Plan a show; for managers. Refused when the auditorium is taken at that time."""
    require(caller, "manager")
    by = actor_of(request, caller)
    return await _show(db, await db.run(service.schedule_show, data, by))


@patch("/shows/{show_id:uuid}")
async def change_show(
    request: AnyRequest,
    db: InjectedDatabase,
    caller: SignedInCaller,
    show_id: FromPath[UUID],
    data: JSONBody[ChangeShow],
) -> ShowView:
    """Move a show, or change its prices or when its sale closes; for managers."""
    require(caller, "manager")
    await db.run(service.change_show, show_id, data, actor_of(request, caller))
    return await _show(db, show_id)


@post("/shows/{show_id:uuid}/cancel", status_code=200)
async def cancel_show(
    request: AnyRequest,
    db: InjectedDatabase,
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


def router(db: Database, seats_left: SeatsLeft | None = None) -> Router:
    """All routes; without `seats_left`, shows have the count of seats that are not sold."""
    sources = ShowSources(db, seats_left or SeatsLeft())
    return Router(
        path="/api/movies",
        route_handlers=HANDLERS,
        guards=[refuse_unknown_query],
        dependencies={
            "db": Provide(lambda: db, sync_to_thread=False),
            "sources": Provide(lambda: sources, sync_to_thread=False),
        },
    )


def cacheable(request: AnyRequest, content: T, seconds: int) -> Response[T]:
    """The content with its ETag, or 304 if the client has it already (RFC 9110, 13.1.2)."""
    body = msgspec.json.encode(content)
    tag = etag_of(body)
    headers: Mapping[str, str] = {"ETag": tag, "Cache-Control": f"public, max-age={seconds}"}
    if matches(tag, request.headers.get("if-none-match", "")):
        return Response(cast(T, None), status_code=304, headers=headers)
    return Response(cast(T, body), media_type="application/json", headers=headers)


async def _show(db: Database, show_id: UUID) -> ShowView:
    show = await db.run_one(catalog_store.show, show_id)
    if show is None:
        raise NoSuchShow(show_id=str(show_id))
    return show


def _choice(field: str, value: str | None, allowed: tuple[str, ...]) -> str | None:
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
    """The words to find; a text of symbols alone is searched unchanged."""
    text = q or ""
    return search_form(text).split()[:WORDS_MAX] or identity(text).split()[:WORDS_MAX] or None


def _city_key(city: str | None) -> str | None:
    return search_form(city) if city else None


def _day(value: str | None) -> Date | None:
    if not value:
        return None
    try:
        return datetime.strptime(value, "%Y-%m-%d").date()  # noqa: DTZ007 a day has no zone
    except ValueError:
        raise Invalid("`date` is a day such as 2026-11-21.", field="date") from None
