"""Statements over films that commands read and write."""

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
from cinesync.movies.model import Movie, TitleKey
from cinesync.movies.tables import events

DEFAULT_TYPE = "film"
DEFAULT_LANGUAGE = "en"

_KEYS = batch("keys", events.c.title_key, events.c.release_year)
HAS_KEY = (events.c.title_key == _KEYS.c.title_key) & (
    events.c.release_year == _KEYS.c.release_year
)
_NAMES = tuple(Movie.__dataclass_fields__)
FIND_MOVIES = compiled(
    select(
        events.c.movie_id,
        events.c.title_key,
        events.c.release_year,
        *(events.c[name] for name in _NAMES if name != "release_year"),
    ).where(HAS_KEY)
)


async def find_movies(
    tx: Transaction, keys: Sequence[TitleKey]
) -> dict[TitleKey, tuple[UUID, Movie]]:
    """The films with these keys, with their ids."""
    found = await tx.execute(FIND_MOVIES, {"keys": keys})
    return {(row.title_key, row.release_year): (row.movie_id, _movie(row)) for row in found}


_MOVIES = batch("movies", *events.c)
INSERT_MOVIES = compiled(insert_from(events, _MOVIES))


async def insert_movies(tx: Transaction, movies: Mapping[UUID, Movie]) -> None:
    """Insert films, by id."""
    if movies:
        await tx.execute(INSERT_MOVIES, {"movies": _rows(movies)})


UPDATE_MOVIES = compiled(
    update(events)
    .values({column: _MOVIES.c[column.name] for column in events.c if not column.primary_key})
    .where(matches(events, _MOVIES))
)


async def update_movies(tx: Transaction, movies: Mapping[UUID, Movie]) -> None:
    """Replace the values of films, by id."""
    if movies:
        await tx.execute(UPDATE_MOVIES, {"movies": _rows(movies)})


FIND_MOVIE = compiled(
    select(events.c.title, events.c.language, events.c.running_minutes).where(
        events.c.movie_id == bindparam("movie_id")
    )
)


async def find_movie(tx: Transaction, movie_id: UUID) -> Row | None:
    """Title, language and running time of a film."""
    return (await tx.execute(FIND_MOVIE, {"movie_id": movie_id})).first()


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
