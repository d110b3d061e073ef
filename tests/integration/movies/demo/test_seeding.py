"""The demo chain: added once, planned ahead at every start."""

from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import RowMapping

from cinesync.chassis.database import Database, Transaction, text
from cinesync.movies.demo.seeding import Seeded, seed_chain, shipped_movies
from cinesync.movies.demo.theaters import THEATERS, price_card
from cinesync.movies.model import Daypart


async def _rows(tx: Transaction, statement: str) -> list[RowMapping]:
    return list(await tx.execute(text(statement)))


async def _count(db: Database, table: str) -> Any:
    rows = await db.read(_rows, f"SELECT count(*) AS n FROM {table}")
    return rows[0]["n"]


async def test_the_chain_has_three_regions_six_cities_and_thirty_auditoriums(
    chain: Database,
) -> None:
    theaters = await chain.read(_rows, "SELECT region, city, time_zone, currency FROM theaters")
    auditoriums = await chain.read(_rows, "SELECT layout_id, seat_count FROM auditoriums")
    assert len({row["region"] for row in theaters}) == 3
    assert len({row["city"] for row in theaters}) == 6
    assert len(theaters) == 9
    assert len({row["currency"] for row in theaters}) == 4
    assert len(auditoriums) == 30
    assert len({row["layout_id"] for row in auditoriums}) >= 20
    assert {450, 60} <= {row["seat_count"] for row in auditoriums}
    assert all(len(theater.auditoriums) >= 2 for theater in THEATERS)


async def test_every_auditorium_has_the_seats_of_its_layout(chain: Database) -> None:
    wrong = await chain.read(
        _rows,
        "SELECT a.name FROM auditoriums AS a WHERE a.seat_count <>"
        " (SELECT count(*) FROM seats AS s WHERE s.layout_id = a.layout_id)",
    )
    assert wrong == []


async def test_two_weeks_of_shows_are_planned_in_every_auditorium_without_overlap(
    db: Database, tomorrow: date
) -> None:
    seeded = await seed_chain(db, tomorrow)
    assert 1500 < seeded.shows < 3000
    assert await _count(db, "outbox WHERE name = 'show.scheduled'") == seeded.shows
    shows = await db.read(
        _rows,
        "SELECT auditorium_id, starts_at, free_at, local_date FROM shows"
        " ORDER BY auditorium_id ASC, starts_at ASC",
    )
    assert Counter((row["auditorium_id"], row["local_date"]) for row in shows).keys() == {
        (row["auditorium_id"], tomorrow + timedelta(days=day)) for row in shows for day in range(14)
    }
    for one, other in pairwise(shows):
        is_same_room = one["auditorium_id"] == other["auditorium_id"]
        assert not is_same_room or one["free_at"] <= other["starts_at"]


async def test_every_filter_finds_shows(chain: Database) -> None:
    shows = await chain.read(
        _rows,
        "SELECT DISTINCT s.language, s.subtitles, s.format, e.language AS made_in"
        " FROM shows AS s JOIN events AS e ON e.movie_id = s.movie_id",
    )
    assert {row["format"] for row in shows} == {"2D", "3D", "Atmos", "IMAX"}
    assert any(row["subtitles"] for row in shows)
    assert any(row["language"] != row["made_in"] for row in shows)  # dubbed
    assert {movie.type for movie in shipped_movies()} == {"film", "live", "concert"}
    assert len(shipped_movies()) >= 145
    assert all(movie.running_minutes for movie in shipped_movies())


async def test_a_second_start_adds_nothing(chain: Database, tomorrow: date) -> None:
    tables = ("events", "theaters", "auditoriums", "seats", "price_cards", "shows", "outbox")
    before = [await _count(chain, table) for table in tables]
    assert await seed_chain(chain, tomorrow, days=2) == Seeded()
    assert [await _count(chain, table) for table in tables] == before


async def test_a_start_the_next_day_plans_one_day_more(chain: Database, tomorrow: date) -> None:
    seeded = await seed_chain(chain, tomorrow + timedelta(days=1), days=2)
    assert (seeded.movies, seeded.theaters) == (0, 0)
    days = await chain.read(_rows, "SELECT local_date, count(*) AS n FROM shows GROUP BY 1")
    counts = {row["local_date"]: row["n"] for row in days}
    assert counts.keys() == {tomorrow + timedelta(days=day) for day in range(3)}
    assert counts[tomorrow + timedelta(days=2)] == seeded.shows


async def test_a_start_after_a_long_pause_plans_from_that_day(
    chain: Database, tomorrow: date
) -> None:
    await seed_chain(chain, tomorrow + timedelta(days=30), days=1)
    days = await chain.read(_rows, "SELECT DISTINCT local_date FROM shows ORDER BY 1")
    assert [row["local_date"] for row in days][-2:] == [
        tomorrow + timedelta(days=1),
        tomorrow + timedelta(days=30),
    ]


async def test_no_show_is_planned_in_the_past(db: Database, tomorrow: date) -> None:
    await seed_chain(db, tomorrow - timedelta(days=3), days=2)
    assert await _count(db, "shows WHERE starts_at <= now()") == 0


async def test_changes_of_managers_stay(chain: Database, tomorrow: date) -> None:
    async def change(tx: Transaction) -> None:
        await tx.execute(text("UPDATE events SET title = 'X' WHERE title = 'The Matrix'"))
        await tx.execute(text("UPDATE price_cards SET price_cents = 1"))
        await tx.execute(text("DELETE FROM shows"))
        await tx.execute(text("DELETE FROM auditoriums WHERE name = 'Majlis'"))

    await chain.run(change)
    await chain.run(_forget_theater)
    assert (await seed_chain(chain, tomorrow, days=2)).theaters == 1
    assert await _count(chain, "events WHERE title = 'X'") == 1
    assert await _count(chain, "price_cards WHERE price_cents = 1") > 0


async def _forget_theater(tx: Transaction) -> None:
    for table in ("price_cards", "auditoriums", "theaters"):
        await tx.execute(
            text(
                f"DELETE FROM {table} WHERE theater_id IN"
                " (SELECT theater_id FROM theaters WHERE name = 'Creekside Screens')"
            )
        )


def test_price_cards_have_higher_prices_for_better_seats() -> None:
    card = price_card(1000)
    assert card["2D", Daypart.EVENING, "standard"] == 1000
    assert card["IMAX", Daypart.EVENING, "standard"] > card["3D", Daypart.EVENING, "standard"]
    assert card["2D", Daypart.MORNING, "vip"] > card["2D", Daypart.MORNING, "standard"]
    assert card["2D", Daypart.MORNING, "standard"] < 1000
    assert all(price > 0 and price % 50 == 0 for price in card.values())
