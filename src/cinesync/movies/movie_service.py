"""Commands over films: add and update what an import or the demo brings."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    by_key = {movie.key(): movie for movie in movies}
    known = await movie_store.find_movies(tx, sorted(by_key))
    new = {clock.new_id(): movie for key, movie in by_key.items() if key not in known}
    changed = {
        movie_id: updated
        for key, (movie_id, old) in known.items()
        if (updated := merge(old, by_key[key])) != old
    }
    await movie_store.insert_movies(tx, new)
    await movie_store.update_movies(tx, changed)
    if new or changed:
        entry = audit_log.Entry(
            actor=OPERATOR,
            action=MoviesAuditAction.MOVIES_IMPORTED,
            object_kind="catalogue",
            object_id="movies",
            after={"added": len(new), "changed": sorted(changed)},
        )
        await audit_log.append(tx, [entry])
    return UpsertCounts(len(new), len(changed), len(known) - len(changed))


async def add_missing_movies(tx: Transaction, movies: Sequence[Movie]) -> int:
    """Add new films, and fill in missing values of existing ones; how many were new."""
    by_key = {movie.key(): movie for movie in movies}
    known = await movie_store.find_movies(tx, sorted(by_key))
    new = {clock.new_id(): movie for key, movie in by_key.items() if key not in known}
    filled = {
        movie_id: updated
        for key, (movie_id, old) in known.items()
        if (updated := merge(by_key[key], old)) != old
    }
    await movie_store.insert_movies(tx, new)
    await movie_store.update_movies(tx, filled)
    return len(new)
