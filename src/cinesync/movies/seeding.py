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
from cinesync.chassis.db import Database, Transaction
from cinesync.contracts.movies import Layout
from cinesync.movies import catalogue, founding, service, store
from cinesync.movies.chain import THEATERS, TheaterPlan, price_card
from cinesync.movies.layouts import layout
from cinesync.movies.model import Auditorium, Daypart, Interval, Movie, Show, daypart, priced
from cinesync.movies.programme import Film, Planned, Screen, Site, day_programme
from cinesync.movies.store import Room

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
    file = resources.files("cinesync.movies").joinpath("data/films.json")
    return msgspec.json.decode(file.read_bytes(), type=tuple[Movie, ...])


async def seed_chain(db: Database, first_day: date, *, days: int = DAYS_AHEAD) -> Seeded:
    """Found the chain where it is missing, and plan the days from `first_day` that are not.

    Days are those of each theater's own calendar. Each theater is planned in one transaction.
    """
    movies, theaters = 0, 0
    if await db.read(founding.theater_count, _names()) < len(THEATERS):
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
    theaters = len(THEATERS) - await founding.theater_count(tx, _names())
    plans = {room.plan: None for theater in THEATERS for room in theater.rooms}
    for name in plans:
        await store.add_layout(tx, layout(name))
        await store.add_layout(tx, layout(name, mirrored=True))
    for theater in THEATERS:
        theater_id = await founding.add_theater(tx, clock.new_id(), theater)
        await founding.add_auditoriums(tx, _auditoriums(theater, theater_id))
        card = price_card(theater.ticket_cents)
        await founding.add_price_card(tx, theater.region, theater_id, card)
    return movies, theaters


def _auditoriums(theater: TheaterPlan, theater_id: UUID) -> list[Auditorium]:
    rooms = []
    for plan in theater.rooms:
        seats = layout(plan.plan, mirrored=plan.mirrored)
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
    language = await store.theater_language(tx, theater)
    now = await store.database_now(tx)
    planned: list[Planned] = []
    for day in _days(start, last_day):
        taken = await _taken(tx, rooms, day)
        planned += day_programme(_site(rooms, language), films.values(), day, SEED_NUMBER, taken)
    shows = await _shows(tx, rooms, [show for show in planned if show.starts_at > now])
    titles = {movie_id: film.title for movie_id, film in films.items()}
    await service.publish_shows(tx, shows, _by_id(rooms), titles, await _layouts(tx, rooms))
    await store.set_programmed_until(tx, theater, last_day)
    return len(shows)


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=day) for day in range((last - first).days + 1)]


def _by_id(rooms: Sequence[Room]) -> dict[UUID, Room]:
    return {room.auditorium.auditorium_id: room for room in rooms}


def _site(rooms: Sequence[Room], language: str) -> Site:
    theater = rooms[0].theater
    screens = [
        Screen(
            auditorium_id=room.auditorium.auditorium_id,
            name=room.auditorium.name,
            seat_count=room.auditorium.seat_count,
        )
        for room in rooms
    ]
    return Site(name=theater.name, time_zone=theater.time_zone, language=language, screens=screens)


async def _films(tx: Transaction) -> dict[UUID, Film]:
    keys = sorted({movie.key() for movie in shipped_movies()})
    found = await catalogue.films(tx, keys)
    return {film.movie_id: film for film in found if film.running_minutes <= RUNNING_MINUTES_MAX}


async def _taken(tx: Transaction, rooms: Sequence[Room], day: date) -> dict[UUID, list[Interval]]:
    """What managers planned on a day, by room; the night before and after included."""
    midnight = datetime.combine(day, time(), ZoneInfo(rooms[0].theater.time_zone))
    whole_day = Interval(midnight, midnight + timedelta(hours=36))
    return {
        room.auditorium.auditorium_id: await store.taken(tx, room.auditorium, whole_day)
        for room in rooms
    }


async def _shows(tx: Transaction, rooms: Sequence[Room], planned: Sequence[Planned]) -> list[Show]:
    by_id = _by_id(rooms)
    cards = await _cards(tx, rooms)
    zones = {room.auditorium.layout_id: None for room in rooms}
    zones_of = {layout_id: await store.zones(tx, layout_id) for layout_id in zones}
    shows = []
    for plan in planned:
        room = by_id[plan.auditorium_id]
        card = cards[room.auditorium.format, daypart(room.theater.local(plan.starts_at))]
        prices = priced(card, None, zones_of[room.auditorium.layout_id])
        spoken = (plan.language, plan.subtitles)
        interval = plan.interval()
        shows.append(service.placed(room, interval, plan.ends_at, plan.movie_id, spoken, prices))
    return shows


async def _cards(
    tx: Transaction, rooms: Sequence[Room]
) -> Mapping[tuple[str, Daypart], Mapping[str, int]]:
    formats = sorted({room.auditorium.format for room in rooms})
    theater = rooms[0].theater
    return {
        (film_format, part): await store.price_card(tx, theater, film_format, part)
        for film_format in formats
        for part in Daypart
    }


async def _layouts(tx: Transaction, rooms: Sequence[Room]) -> dict[UUID, Layout]:
    ids = sorted({room.auditorium.layout_id for room in rooms})
    return {layout_id: await store.layout(tx, layout_id) for layout_id in ids}
