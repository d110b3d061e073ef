"""Seeds the demo chain, and plans its shows for two weeks from each start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib import resources
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, database_now
from cinesync.contracts.movies import Layout
from cinesync.movies import movie_service, service, store
from cinesync.movies.demo import store as demo_store
from cinesync.movies.demo.floor_plans import layout
from cinesync.movies.demo.programme import (
    PlannedShow,
    ProgrammeAuditorium,
    ProgrammeFilm,
    ProgrammeTheater,
    day_programme,
)
from cinesync.movies.demo.theaters import THEATERS, DemoTheater, price_card
from cinesync.movies.model import Auditorium, Movie, Show, Theater, TimeRange
from cinesync.movies.store import PriceCards, Venue

DAYS_AHEAD = 14
SEED_NUMBER = 20_000
PLANNED_MINUTES_MAX = 240


@dataclass(frozen=True, slots=True)
class Seeded:
    """How many rows a start added."""

    movies: int = 0
    theaters: int = 0
    shows: int = 0


@cache
def shipped_movies() -> tuple[Movie, ...]:
    """The films of the package, from a file that `curate.py` writes."""
    file = resources.files("cinesync.movies.demo").joinpath("data/films.json")
    return msgspec.json.decode(file.read_bytes(), type=tuple[Movie, ...])


async def seed_chain(db: Database, first_day: date, *, days: int = DAYS_AHEAD) -> Seeded:
    """Add films and theaters that are missing, and plan the days from `first_day` on.

    Days are local to each theater. Each theater is planned in one transaction.
    """
    movies, theaters = 0, 0
    if await db.read(demo_store.count_theaters, _names()) < len(THEATERS):
        movies, theaters = await db.run(_add_chain)
    last_day = first_day + timedelta(days=days - 1)
    until = await db.read(store.programmed_until)
    shows = 0
    for (_, theater_id), planned_until in until.items():
        if planned_until is None or planned_until < last_day:
            shows += await db.run(_plan_theater, theater_id, first_day, last_day)
    return Seeded(movies, theaters, shows)


def _names() -> list[str]:
    return [plan.name for plan in THEATERS]


async def _add_chain(tx: Transaction) -> tuple[int, int]:
    """How many films and theaters were new."""
    movies = await movie_service.add_missing_movies(tx, shipped_movies())
    theaters = len(THEATERS) - await demo_store.count_theaters(tx, _names())
    plans = [auditorium for theater in THEATERS for auditorium in theater.auditoriums]
    await store.add_layouts(tx, [layout(plan.floor_plan, plan.mirrored) for plan in plans])
    for theater in THEATERS:
        theater_id = await demo_store.add_theater(tx, clock.new_id(), theater)
        await demo_store.add_auditoriums(tx, _auditoriums(theater, theater_id))
        card = price_card(theater.ticket_cents)
        await demo_store.add_price_card(tx, theater.region, theater_id, card)
    return movies, theaters


def _auditoriums(theater: DemoTheater, theater_id: UUID) -> list[Auditorium]:
    auditoriums = []
    for plan in theater.auditoriums:
        seats = layout(plan.floor_plan, plan.mirrored)
        auditoriums.append(
            Auditorium(
                auditorium_id=clock.new_id(),
                region=theater.region,
                theater_id=theater_id,
                name=plan.name,
                format=plan.format,
                layout_id=seats.layout_id,
                seat_count=len(seats.seats),
            )
        )
    return auditoriums


async def _plan_theater(tx: Transaction, theater_id: UUID, first_day: date, last_day: date) -> int:
    """Plan the days that are not planned yet; how many shows were added."""
    venues = await store.venues(tx, None, theater_id)
    if not venues:
        return 0
    theater = venues[0].theater
    until = (await store.programmed_until(tx))[theater.region, theater_id]
    start = max(first_day, until + timedelta(days=1)) if until else first_day
    films = await _films(tx)
    planning_theater = _planning_theater(venues, await store.theater_language(tx, theater))
    taken = await store.taken_in_theater(tx, theater, _time_range(theater, start, last_day))
    now = await database_now(tx)
    planned = [
        show
        for day in _days(start, last_day)
        for show in day_programme(planning_theater, films.values(), day, SEED_NUMBER, taken)
        if show.starts_at > now
    ]
    layouts = await store.layouts(tx, {venue.auditorium.layout_id for venue in venues})
    by_id = {venue.auditorium.auditorium_id: venue for venue in venues}
    shows = _shows(planned, by_id, layouts, await store.price_cards(tx, theater))
    titles = {movie_id: film.title for movie_id, film in films.items()}
    await service.publish_shows(tx, shows, by_id, titles, layouts)
    await store.set_programmed_until(tx, theater, last_day)
    return len(shows)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=day) for day in range((last - first).days + 1)]


def _time_range(theater: Theater, first: date, last: date) -> TimeRange:
    """From the first midnight to the end of the last night."""
    zone = ZoneInfo(theater.time_zone)
    return TimeRange(
        datetime.combine(first, time(), zone),
        datetime.combine(last, time(), zone) + timedelta(hours=36),
    )


def _planning_theater(venues: Sequence[Venue], language: str) -> ProgrammeTheater:
    theater = venues[0].theater
    auditoriums = [
        ProgrammeAuditorium(
            auditorium_id=venue.auditorium.auditorium_id,
            name=venue.auditorium.name,
            seat_count=venue.auditorium.seat_count,
        )
        for venue in venues
    ]
    return ProgrammeTheater(
        name=theater.name, time_zone=theater.time_zone, language=language, auditoriums=auditoriums
    )


async def _films(tx: Transaction) -> dict[UUID, ProgrammeFilm]:
    keys = sorted({movie.key() for movie in shipped_movies()})
    found = await demo_store.list_films(tx, keys)
    return {film.movie_id: film for film in found if film.running_minutes <= PLANNED_MINUTES_MAX}


def _shows(
    planned: Sequence[PlannedShow],
    venues: Mapping[UUID, Venue],
    layouts: Mapping[UUID, Layout],
    cards: PriceCards,
) -> list[Show]:
    shows = []
    for plan in planned:
        venue = venues[plan.auditorium_id]
        seats = layouts[venue.auditorium.layout_id]
        prices = service.zone_prices(cards, venue, seats, plan.starts_at)
        languages = (plan.language, plan.subtitles)
        taken = plan.time_range()
        shows.append(service.new_show(venue, taken, plan.ends_at, plan.movie_id, languages, prices))
    return shows
