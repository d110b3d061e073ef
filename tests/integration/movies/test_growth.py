"""Lists read few rows, however many shows there are."""

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import asyncpg
import pytest

from cinesync.chassis.database import Database, Transaction, text
from cinesync.movies import catalog_store
from cinesync.movies.catalog_store import MovieFilter, ShowFilter

pytestmark = pytest.mark.slow

ROUNDS = 60
READ_MAX_SHARE = 0.1
MANY = """
INSERT INTO shows (region, show_id, movie_id, theater_id, auditorium_id, layout_id, starts_at,
    ends_at, free_at, local_date, format, language, subtitles, currency, prices_cents, seat_count,
    status, revision)
SELECT region, gen_random_uuid(), movie_id, theater_id, auditorium_id, layout_id,
    starts_at + later, ends_at + later, free_at + later, (local_date + later)::date, format,
    language, subtitles, currency, prices_cents, seat_count, status, revision
FROM shows, (SELECT n * interval '2 days' AS later FROM generate_series(1, $1::bigint) n) l
"""
Ask = Callable[[Transaction], Awaitable[Any]]


@pytest.fixture
async def many(chain: Database) -> Database:
    connection = await asyncpg.connect(chain.url)
    await connection.execute(MANY, ROUNDS)
    await connection.execute("VACUUM ANALYZE shows")
    await connection.close()
    return chain


async def shows_read(tx: Transaction, ask: Ask) -> tuple[Any, float]:
    """The result, and the share of the shows' rows and index entries that were read for it."""
    answer = await ask(tx)
    statement = text(
        "SELECT sum(pg_stat_get_xact_tuples_returned(c.oid) + pg_stat_get_xact_tuples_fetched("
        "c.oid)) AS looks, max(c.reltuples) AS shows FROM pg_class AS c WHERE c.relname = 'shows'"
        " OR c.oid IN (SELECT i.indexrelid FROM pg_index AS i"
        " WHERE i.indrelid = CAST('shows' AS regclass))"
    )
    row = (await tx.execute(statement)).one()
    assert row.shows > 1000
    return answer, float(row.looks) / row.shows


async def test_languages_of_shows_are_found_without_reading_them(many: Database) -> None:
    before, _ = await many.read(shows_read, catalog_store.languages)
    answer, share = await many.read(shows_read, catalog_store.languages)
    assert answer == before == sorted(set(answer))
    assert share < READ_MAX_SHARE


@pytest.mark.parametrize("where", [{}, {"city_key": "london"}, {"day": True}])
async def test_the_next_shows_are_found_without_reading_all(
    many: Database, where: dict[str, Any], tomorrow: date
) -> None:
    selection = ShowFilter(limit=5, **(where | ({"day": tomorrow} if "day" in where else {})))
    found, share = await many.read(shows_read, lambda tx: catalog_store.shows(tx, selection))
    assert [show.starts_at for show in found] == sorted(show.starts_at for show in found)
    assert len(found) == selection.limit
    assert share < READ_MAX_SHARE


async def test_films_of_a_day_are_found_without_reading_all_shows(
    many: Database, tomorrow: date
) -> None:
    selection = MovieFilter(day=tomorrow)
    found, share = await many.read(shows_read, lambda tx: catalog_store.movies(tx, selection))
    assert found
    assert share < READ_MAX_SHARE


@pytest.mark.parametrize("language", ["en", "fr", "tlh"])
async def test_films_in_a_language_are_found_without_reading_all_shows(
    many: Database, language: str
) -> None:
    selection = MovieFilter(language=language)
    found, share = await many.read(shows_read, lambda tx: catalog_store.movies(tx, selection))
    assert bool(found) is (language != "tlh")
    assert share < READ_MAX_SHARE


async def test_only_languages_of_future_shows_are_listed(chain: Database) -> None:
    """Languages of films are listed too."""
    await chain.run(_speak, "tlh", "now() - interval '1 minute'", "scheduled")
    assert "tlh" not in await chain.read(catalog_store.languages)
    await chain.run(_speak, "tlh", "now() + interval '1 hour'", "cancelled")
    assert "tlh" not in await chain.read(catalog_store.languages)
    await chain.run(_speak, "tlh", "now() + interval '1 hour'", "scheduled")
    assert "tlh" in await chain.read(catalog_store.languages)


async def _speak(tx: Transaction, language: str, starts_at: str, status: str) -> None:
    """Give one show that language, time and status."""
    await tx.execute(
        text(
            f"UPDATE shows SET language = CAST(:language AS text), starts_at = {starts_at},"
            f" ends_at = {starts_at} + interval '1 hour',"
            f" free_at = {starts_at} + interval '2 hours', status = CAST(:status AS text)"
            " WHERE show_id = (SELECT show_id FROM shows ORDER BY show_id ASC LIMIT 1)"
        ),
        {"language": language, "status": status},
    )


@pytest.mark.parametrize("day_starts_minutes", [0, 720])
@pytest.mark.parametrize("zone_hours", [-12, 14])
async def test_a_day_is_that_of_the_theater_wherever_it_is(
    chain: Database, tomorrow: date, zone_hours: int, day_starts_minutes: int
) -> None:
    """The first and the last minute of a business day, in the first and the last time zone.

    The seconds differ from those of all other shows."""
    values = {"day": tomorrow, "hours": zone_hours, "day_starts": day_starts_minutes}
    show_ids = await chain.run(_at_both_ends, values)
    found = await chain.read(catalog_store.shows, ShowFilter(day=tomorrow, limit=5_000))
    assert show_ids <= {show.show_id for show in found}


async def _at_both_ends(tx: Transaction, values: dict[str, Any]) -> set[Any]:
    await tx.execute(
        text(
            # POSIX's signs: Etc/GMT-14 is 14 hours before UTC.
            "UPDATE theaters SET day_starts_minutes = CAST(:day_starts AS bigint),"
            " time_zone = CASE WHEN CAST(:hours AS bigint) > 0 THEN 'Etc/GMT-14'"
            " ELSE 'Etc/GMT+12' END"
        ),
        {"hours": values["hours"], "day_starts": values["day_starts"]},
    )
    rows = await tx.execute(
        text(
            "UPDATE shows SET starts_at = t.starts_at,"
            " ends_at = t.starts_at + interval '1 hour', free_at = t.starts_at + interval '2 hours'"
            " FROM (SELECT n.show_id, (CAST(:day AS date) - CAST(:hours AS bigint)"
            " * interval '1 hour' + (n.at * 1439 + CAST(:day_starts AS bigint))"
            " * interval '1 minute' + interval '13 seconds') AT TIME ZONE 'UTC' AS starts_at"
            " FROM (SELECT show_id, row_number() OVER (ORDER BY show_id) - 1 AS at FROM shows"
            " ORDER BY show_id ASC LIMIT 2) AS n) AS t"
            " WHERE shows.show_id = t.show_id RETURNING shows.show_id"
        ),
        values,
    )
    return {row.show_id for row in rows}
