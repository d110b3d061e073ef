"""Statements over films: what importing and planning read and write."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping

from cinesync.chassis.database import Transaction, text
from cinesync.movies.demo.programme import ProgrammeFilm
from cinesync.movies.model import Movie

DEFAULT_TYPE = "film"
DEFAULT_LANGUAGE = "en"
TitleKey = tuple[str, int]

_TYPES = {
    "movie_id": "uuid",
    "title": "text",
    "title_key": "text",
    "release_year": "bigint",
    "release_date": "date",
    "type": "text",
    "language": "text",
    "certificate": "text",
    "genre": "text",
    "running_minutes": "bigint",
    "director": "text",
    "distributor": "text",
    "source": "text",
    "creative_type": "text",
    "tomatoes_percent": "bigint",
    "imdb_tenths": "bigint",
    "imdb_votes": "bigint",
    "popularity": "bigint",
    "search_text": "text",
}
_NAMES = ", ".join(_TYPES)
_ARRAYS = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in _TYPES.items())
_VALUES = ", ".join(f"t.{name}" for name in _TYPES)
_ASSIGNMENTS = ", ".join(f"{name} = t.{name}" for name in _TYPES if name != "movie_id")


async def known(tx: Transaction, keys: Sequence[TitleKey]) -> dict[TitleKey, tuple[UUID, Movie]]:
    """The films that are there already, by what identifies a film."""
    statement = text(
        "SELECT e.movie_id, e.title, e.title_key, e.release_year, e.release_date, e.type,"
        " e.language, e.certificate, e.genre, e.running_minutes, e.director, e.distributor,"
        " e.source, e.creative_type, e.tomatoes_percent, e.imdb_tenths, e.imdb_votes"
        " FROM events AS e JOIN unnest(CAST(:titles AS text[]), CAST(:years AS bigint[]))"
        " AS t(title_key, release_year)"
        " ON e.title_key = t.title_key AND e.release_year = t.release_year"
    )
    found = await tx.execute(
        statement, {"titles": [title for title, _ in keys], "years": [year for _, year in keys]}
    )
    rows = found.mappings().all()
    return {(row["title_key"], row["release_year"]): (row["movie_id"], _movie(row)) for row in rows}


async def add(tx: Transaction, movies: Mapping[UUID, Movie]) -> None:
    """New films."""
    statement = text(
        f"INSERT INTO events ({_NAMES}) SELECT {_VALUES} FROM unnest({_ARRAYS}) AS t({_NAMES})"  # noqa: S608 names of columns
    )
    if movies:
        await tx.execute(statement, _columns(movies))


async def save(tx: Transaction, movies: Mapping[UUID, Movie]) -> None:
    """Films of which more is known now."""
    statement = text(
        f"UPDATE events SET {_ASSIGNMENTS} FROM unnest({_ARRAYS}) AS t({_NAMES})"  # noqa: S608 names of columns
        " WHERE events.movie_id = t.movie_id"
    )
    if movies:
        await tx.execute(statement, _columns(movies))


async def films(tx: Transaction, keys: Sequence[TitleKey]) -> list[ProgrammeFilm]:
    """Those of the films that can be planned: their running time is known."""
    statement = text(
        "SELECT e.movie_id, e.title, e.running_minutes, e.popularity, e.certificate, e.language,"
        " e.type"
        " FROM events AS e JOIN unnest(CAST(:titles AS text[]), CAST(:years AS bigint[]))"
        " AS t(title_key, release_year)"
        " ON e.title_key = t.title_key AND e.release_year = t.release_year"
        " WHERE e.running_minutes IS NOT NULL"
    )
    found = await tx.execute(
        statement, {"titles": [title for title, _ in keys], "years": [year for _, year in keys]}
    )
    return [ProgrammeFilm(**row) for row in found.mappings()]


async def film(tx: Transaction, movie_id: UUID) -> RowMapping | None:
    """Title, language and running time of a film."""
    statement = text(
        "SELECT title, language, running_minutes FROM events"
        " WHERE movie_id = CAST(:movie_id AS uuid)"
    )
    return (await tx.execute(statement, {"movie_id": movie_id})).mappings().first()


def _columns(movies: Mapping[UUID, Movie]) -> dict[str, list[Any]]:
    rows = [_row(movie_id, movies[movie_id]) for movie_id in sorted(movies)]
    return {name: [row[name] for row in rows] for name in _TYPES}


def _row(movie_id: UUID, movie: Movie) -> dict[str, Any]:
    title_key, release_year = movie.key()
    own = {name: getattr(movie, name) for name in Movie.__dataclass_fields__}
    return own | {
        "movie_id": movie_id,
        "title_key": title_key,
        "release_year": release_year,
        "type": movie.type or DEFAULT_TYPE,
        "language": movie.language or DEFAULT_LANGUAGE,
        "popularity": movie.imdb_votes or 0,
        "search_text": movie.search_text(),
    }


def _movie(row: RowMapping) -> Movie:
    return Movie(**{name: row[name] for name in Movie.__dataclass_fields__})
