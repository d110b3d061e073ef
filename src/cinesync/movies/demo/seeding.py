"""`seed`: the demo chain, and at every start the shows of the two weeks to come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib import resources
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction
from cinesync.contracts.movies import Layout
from cinesync.movies import movie_store, service, store
from cinesync.movies.demo import theater_store
from cinesync.movies.demo.programme import (
    Planned,
    ProgrammeAuditorium,
    ProgrammeFilm,
    ProgrammeTheater,
    day_programme,
)
from cinesync.movies.demo.theaters import THEATERS, DemoTheater, price_card
from cinesync.movies.layouts import layout
from cinesync.movies.model import Auditorium, Movie, Show, Theater, TimeRange
from cinesync.movies.store import AuditoriumRow, PriceCards

DAYS_AHEAD = 14
SEED_NUMBER = 20_000
RUNNING_MINUTES_MAX = 240


@dataclass(frozen=True, slots=True)
class Seeded:
    """What a start added; all zero when nothing was to do."""

    movies: int = 0
    theaters: int = 0
    shows: int = 0


@cache
def shipped_movies() -> tuple[Movie, ...]:
    """The films that come with the package; `curate.py` makes the file."""
    file = resources.files("cinesync.movies.demo").joinpath("data/films.json")
    return msgspec.json.decode(file.read_bytes(), type=tuple[Movie, ...])


async def seed_chain(db: Database, first_day: date, *, days: int = DAYS_AHEAD) -> Seeded:
    """Found the chain where it is missing, and plan the days from `first_day` that are not.

    Days are those of each theater's own calendar. Each theater is planned in one transaction.
    """
    movies, theaters = 0, 0
    if await db.read(theater_store.theater_count, _names()) < len(THEATERS):
        movies, theaters = await db.run(_found)
    last_day = first_day + timedelta(days=days - 1)
    until = await db.read(store.programmed_until)
    shows = 0
    for (_, theater_id), planned_until in until.items():
        if planned_until is None or planned_until < last_day:
            shows += await db.run(_plan_theater, theater_id, first_day, last_day)
    return Seeded(movies, theaters, shows)


def _names() -> list[str]:
    return [plan.name for plan in THEATERS]


async def _found(tx: Transaction) -> tuple[int, int]:
    """How many films and theaters were new."""
    movies = await service.introduce_movies(tx, shipped_movies())
    theaters = len(THEATERS) - await theater_store.theater_count(tx, _names())
    rooms = [room for theater in THEATERS for room in theater.rooms]
    await store.add_layouts(tx, [_drawn(room.plan, room.mirrored) for room in rooms])
    for theater in THEATERS:
        theater_id = await theater_store.add_theater(tx, clock.new_id(), theater)
        await theater_store.add_auditoriums(tx, _auditoriums(theater, theater_id))
        card = price_card(theater.ticket_cents)
        await theater_store.add_price_card(tx, theater.region, theater_id, card)
    return movies, theaters


@cache
def _drawn(plan: str, mirrored: bool) -> Layout:  # noqa: FBT001 a key of the cache
    return layout(plan, mirrored=mirrored)


def _auditoriums(theater: DemoTheater, theater_id: UUID) -> list[Auditorium]:
    rooms = []
    for plan in theater.rooms:
        seats = _drawn(plan.plan, plan.mirrored)
        rooms.append(
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
    return rooms


async def _plan_theater(tx: Transaction, theater_id: UUID, first_day: date, last_day: date) -> int:
    """Plan the days that are not; how many shows were added."""
    rooms = await store.rooms(tx, None, theater_id)
    if not rooms:
        return 0
    theater = rooms[0].theater
    until = (await store.programmed_until(tx))[theater.region, theater_id]
    start = max(first_day, until + timedelta(days=1)) if until else first_day
    films = await _films(tx)
    site = _site(rooms, await store.theater_language(tx, theater))
    taken = await store.taken_in(tx, theater, _whole(theater, start, last_day))
    now = await store.database_now(tx)
    planned = [
        show
        for day in _days(start, last_day)
        for show in day_programme(site, films.values(), day, SEED_NUMBER, taken)
        if show.starts_at > now
    ]
    layouts = await store.layouts(tx, {room.auditorium.layout_id for room in rooms})
    by_id = {room.auditorium.auditorium_id: room for room in rooms}
    shows = _shows(planned, by_id, layouts, await store.price_cards(tx, theater))
    titles = {movie_id: film.title for movie_id, film in films.items()}
    await service.publish_shows(tx, shows, by_id, titles, layouts)
    await store.set_programmed_until(tx, theater, last_day)
    return len(shows)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=day) for day in range((last - first).days + 1)]


def _whole(theater: Theater, first: date, last: date) -> TimeRange:
    """From the first midnight to the end of the last night."""
    zone = ZoneInfo(theater.time_zone)
    return TimeRange(
        datetime.combine(first, time(), zone),
        datetime.combine(last, time(), zone) + timedelta(hours=36),
    )


def _site(rooms: Sequence[AuditoriumRow], language: str) -> ProgrammeTheater:
    theater = rooms[0].theater
    screens = [
        ProgrammeAuditorium(
            auditorium_id=room.auditorium.auditorium_id,
            name=room.auditorium.name,
            seat_count=room.auditorium.seat_count,
        )
        for room in rooms
    ]
    return ProgrammeTheater(
        name=theater.name, time_zone=theater.time_zone, language=language, screens=screens
    )


async def _films(tx: Transaction) -> dict[UUID, ProgrammeFilm]:
    keys = sorted({movie.key() for movie in shipped_movies()})
    found = await movie_store.films(tx, keys)
    return {film.movie_id: film for film in found if film.running_minutes <= RUNNING_MINUTES_MAX}


def _shows(
    planned: Sequence[Planned],
    rooms: Mapping[UUID, AuditoriumRow],
    layouts: Mapping[UUID, Layout],
    cards: PriceCards,
) -> list[Show]:
    shows = []
    for plan in planned:
        room = rooms[plan.auditorium_id]
        seats = layouts[room.auditorium.layout_id]
        prices = service.zone_prices(cards, room, seats, plan.starts_at)
        spoken = (plan.language, plan.subtitles)
        interval = plan.interval()
        shows.append(service.placed(room, interval, plan.ends_at, plan.movie_id, spoken, prices))
    return shows
