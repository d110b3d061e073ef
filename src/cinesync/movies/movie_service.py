"""Commands over films: add and update what an import or the demo brings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

from cinesync.chassis import audit_log, clock
from cinesync.chassis.audit_log import OPERATOR
from cinesync.chassis.database import Transaction
from cinesync.movies import movie_store
from cinesync.movies.model import Movie, MoviesAuditAction, merge


@dataclass(frozen=True, slots=True)
class UpsertCounts:
    """How many films of a batch were added, changed, and left unchanged."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0


async def upsert_movies(tx: Transaction, movies: Sequence[Movie]) -> UpsertCounts:
    """Add new films, and override values of existing ones. A second time changes nothing."""
    written = await _write(tx, movies, merge)
    if written.new or written.changed:
        entry = audit_log.Entry(
            actor=OPERATOR,
            action=MoviesAuditAction.MOVIES_IMPORTED,
            object_kind="catalogue",
            object_id="movies",
            after={"added": len(written.new), "changed": sorted(written.changed)},
        )
        await audit_log.append(tx, [entry])
    return UpsertCounts(len(written.new), len(written.changed), written.unchanged)


async def add_missing_movies(tx: Transaction, movies: Sequence[Movie]) -> int:
    """Add new films, and fill in missing values of existing ones; how many were new."""
    written = await _write(tx, movies, lambda known, given: merge(given, known))
    return len(written.new)


class _Written(NamedTuple):
    new: Mapping[UUID, Movie]
    changed: Mapping[UUID, Movie]
    unchanged: int


async def _write(
    tx: Transaction, movies: Sequence[Movie], combine: Callable[[Movie, Movie], Movie]
) -> _Written:
    """Insert unknown films, and update known ones to `combine(known, given)` where that differs."""
    by_key = {movie.key(): movie for movie in movies}
    known = await movie_store.find_movies(tx, sorted(by_key))
    new = {clock.new_id(): movie for key, movie in by_key.items() if key not in known}
    changed = {
        movie_id: updated
        for key, (movie_id, old) in known.items()
        if (updated := combine(old, by_key[key])) != old
    }
    await movie_store.insert_movies(tx, new)
    await movie_store.update_movies(tx, changed)
    return _Written(new, changed, len(known) - len(changed))
