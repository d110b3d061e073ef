"""Statements over films: what importing and planning read and write."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select, update

from cinesync.chassis.database import (
    Row,
    Transaction,
    batch,
    compiled,
    insert_from,
    matches,
)
from cinesync.movies.demo.programme import ProgrammeFilm
from cinesync.movies.model import Movie
from cinesync.movies.tables import events

DEFAULT_TYPE = "film"
DEFAULT_LANGUAGE = "en"
TitleKey = tuple[str, int]

_KEYS = batch("keys", events.c.title_key, events.c.release_year)
_HAS_KEY = (events.c.title_key == _KEYS.c.title_key) & (
    events.c.release_year == _KEYS.c.release_year
)
_NAMES = tuple(Movie.__dataclass_fields__)
KNOWN = compiled(
    select(
        events.c.movie_id,
        events.c.title_key,
        events.c.release_year,
        *(events.c[name] for name in _NAMES if name != "release_year"),
    ).where(_HAS_KEY)
)


async def known(tx: Transaction, keys: Sequence[TitleKey]) -> dict[TitleKey, tuple[UUID, Movie]]:
    """The films that are there already, by what identifies a film."""
    found = await tx.execute(KNOWN, {"keys": keys})
    return {(row.title_key, row.release_year): (row.movie_id, _movie(row)) for row in found}


_MOVIES = batch("movies", *events.c)
ADD = compiled(insert_from(events, _MOVIES))


async def add(tx: Transaction, movies: Mapping[UUID, Movie]) -> None:
    """New films."""
    if movies:
        await tx.execute(ADD, {"movies": _rows(movies)})


SAVE = compiled(
    update(events)
    .values({column: _MOVIES.c[column.name] for column in events.c if not column.primary_key})
    .where(matches(events, _MOVIES))
)


async def save(tx: Transaction, movies: Mapping[UUID, Movie]) -> None:
    """Films of which more is known now."""
    if movies:
        await tx.execute(SAVE, {"movies": _rows(movies)})


FILMS = compiled(
    select(
        events.c.movie_id,
        events.c.title,
        events.c.running_minutes,
        events.c.popularity,
        events.c.certificate,
        events.c.language,
        events.c.type,
    ).where(_HAS_KEY, events.c.running_minutes.is_not(None))
)


async def films(tx: Transaction, keys: Sequence[TitleKey]) -> list[ProgrammeFilm]:
    """Those of the films that can be planned: their running time is known."""
    found = await tx.execute(FILMS, {"keys": keys})
    return [ProgrammeFilm(**row) for row in found]


FILM = compiled(
    select(events.c.title, events.c.language, events.c.running_minutes).where(
        events.c.movie_id == bindparam("movie_id")
    )
)


async def film(tx: Transaction, movie_id: UUID) -> Row | None:
    """Title, language and running time of a film."""
    return (await tx.execute(FILM, {"movie_id": movie_id})).first()


def _rows(movies: Mapping[UUID, Movie]) -> list[dict[str, Any]]:
    return [_row(movie_id, movies[movie_id]) for movie_id in sorted(movies)]


def _row(movie_id: UUID, movie: Movie) -> dict[str, Any]:
    title_key, release_year = movie.key()
    own = {name: getattr(movie, name) for name in _NAMES}
    return own | {
        "movie_id": movie_id,
        "title_key": title_key,
        "release_year": release_year,
        "type": movie.type or DEFAULT_TYPE,
        "language": movie.language or DEFAULT_LANGUAGE,
        "popularity": movie.imdb_votes or 0,
        "search_text": movie.search_text(),
    }


def _movie(row: Row) -> Movie:
    return Movie(**{name: row[name] for name in _NAMES})
