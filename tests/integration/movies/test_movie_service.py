"""Films are added, and known ones are updated."""

from typing import Any

from cinesync.chassis.database import Database, Transaction, text
from cinesync.movies import movie_service
from cinesync.movies.model import Movie
from cinesync.movies.movie_service import UpsertCounts


async def _film(tx: Transaction, title: str) -> Any:
    rows = await tx.execute(
        text(
            "SELECT type, language, running_minutes, certificate FROM events"
            " WHERE title = CAST(:title AS text)"
        ),
        {"title": title},
    )
    return tuple(rows.one())


async def test_a_film_has_a_default_type_and_language(db: Database) -> None:
    assert await db.run(movie_service.upsert_movies, [Movie(title="Wings")]) == UpsertCounts(
        added=1
    )
    assert await db.read(_film, "Wings") == ("film", "en", None, None)


async def test_an_import_overrides_values_but_missing_ones_do_not(db: Database) -> None:
    known = Movie(title="Wings", type="live", language="fr", running_minutes=144, certificate="G")
    await db.run(movie_service.upsert_movies, [known])
    update = [Movie(title="Wings", certificate="PG")]
    assert await db.run(movie_service.upsert_movies, update) == UpsertCounts(changed=1)
    assert await db.run(movie_service.upsert_movies, update) == UpsertCounts(unchanged=1)
    assert await db.read(_film, "Wings") == ("live", "fr", 144, "PG")


async def test_adding_missing_films_fills_gaps_and_overrides_nothing(db: Database) -> None:
    await db.run(movie_service.upsert_movies, [Movie(title="Wings", certificate="G")])
    shipped = [Movie(title="Wings", certificate="R", running_minutes=144), Movie(title="Sunrise")]
    assert await db.run(movie_service.add_missing_movies, shipped) == 1
    assert await db.run(movie_service.add_missing_movies, shipped) == 0
    assert await db.read(_film, "Wings") == ("film", "en", 144, "G")
