"""Migration 0004 on a database with films."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, migrations, open_database, text
from cinesync.movies.importing.importer import ImportReport, import_movies
from cinesync.supervisor.postgres import Postgres

PACKAGE = "cinesync.movies.migrations"
FILM = (
    "INSERT INTO events (movie_id, title, title_key, release_year, type, language, popularity,"
    " search_text) VALUES (CAST(:movie_id AS uuid), CAST(:title AS text), CAST(:key AS text),"
    " 1977, 'film', 'hi', 0, CAST(:key AS text))"
)


@pytest.fixture
async def db(postgres: Postgres) -> AsyncIterator[Database]:
    """A database at migration 0002, whose title keys lack vowel signs."""
    opened = open_database(postgres.url("movies_at_0002"))
    await migrations.create_if_missing(opened)
    await migrations.upgrade_to(opened.url, PACKAGE, "0002")
    yield opened
    await opened.close()


async def test_the_migration_gives_films_keys_that_differ(db: Database, tmp_path: Path) -> None:
    async def add(tx: Transaction) -> None:
        values = {"movie_id": clock.new_id(), "title": "मेला", "key": "मल"}
        await tx.execute(text(FILM), values)

    async def titles(tx: Transaction) -> set[str]:
        return set((await tx.execute(text("SELECT title FROM events"))).scalars())

    await db.run(add)
    await migrations.upgrade(db, PACKAGE, "tests")
    path = tmp_path / "films.csv"
    path.write_text("Title,Release Date\nमाला,1977-06-01\nमेला,1977-06-01\n", encoding="utf-8")
    await import_movies(db, path, report := ImportReport())
    assert (report.added_count, report.changed_count) == (1, 1)
    assert await db.read(titles) == {"मेला", "माला"}
