"""Statements that found the chain: theaters, rooms and price cards that are not there yet."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from cinesync.chassis.database import Transaction, text
from cinesync.movies.demo.theaters import DemoTheater
from cinesync.movies.model import Auditorium, Daypart
from cinesync.movies.text import normal


async def add_theater(tx: Transaction, theater_id: UUID, plan: DemoTheater) -> UUID:
    """The id of the theater of that name in that city, new or not."""
    statement = text(
        "INSERT INTO theaters (region, theater_id, name, city, city_key, country, address,"
        " time_zone, currency, language)"
        " VALUES (CAST(:region AS text), CAST(:theater_id AS uuid), CAST(:name AS text),"
        " CAST(:city AS text), CAST(:city_key AS text), CAST(:country AS text),"
        " CAST(:address AS text), CAST(:time_zone AS text), CAST(:currency AS text),"
        " CAST(:language AS text))"
        " ON CONFLICT (region, city, name) DO UPDATE SET language = excluded.language"
        " RETURNING theater_id"
    )
    names = ("region", "name", "city", "country", "address", "time_zone", "currency", "language")
    values = {name: getattr(plan, name) for name in names}
    values |= {"theater_id": theater_id, "city_key": normal(plan.city)}
    found: UUID = (await tx.execute(statement, values)).scalar_one()
    return found


async def add_auditoriums(tx: Transaction, rooms: Sequence[Auditorium]) -> None:
    """Rooms that are there keep the seats they have."""
    statement = text(
        "INSERT INTO auditoriums (region, auditorium_id, theater_id, name, format, layout_id,"
        " seat_count)"
        " SELECT t.region, t.auditorium_id, t.theater_id, t.name, t.format, t.layout_id,"
        " t.seat_count"
        " FROM unnest(CAST(:region AS text[]), CAST(:auditorium_id AS uuid[]),"
        " CAST(:theater_id AS uuid[]), CAST(:name AS text[]), CAST(:format AS text[]),"
        " CAST(:layout_id AS uuid[]), CAST(:seat_count AS bigint[]))"
        " AS t(region, auditorium_id, theater_id, name, format, layout_id, seat_count)"
        " ON CONFLICT (region, theater_id, name) DO NOTHING"
    )
    names = Auditorium.__dataclass_fields__
    await tx.execute(statement, {name: [getattr(room, name) for room in rooms] for name in names})


async def add_price_card(
    tx: Transaction, region: str, theater_id: UUID, card: Mapping[tuple[str, Daypart, str], int]
) -> None:
    """Prices that a manager set stay."""
    statement = text(
        "INSERT INTO price_cards (region, theater_id, format, daypart, zone, price_cents)"
        " SELECT CAST(:region AS text), CAST(:theater_id AS uuid), t.format, t.daypart, t.zone,"
        " t.price_cents"
        " FROM unnest(CAST(:formats AS text[]), CAST(:dayparts AS text[]),"
        " CAST(:zones AS text[]), CAST(:prices AS bigint[]))"
        " AS t(format, daypart, zone, price_cents)"
        " ON CONFLICT (region, theater_id, format, daypart, zone) DO NOTHING"
    )
    keys = sorted(card)
    await tx.execute(
        statement,
        {
            "region": region,
            "theater_id": theater_id,
            "formats": [film_format for film_format, _, _ in keys],
            "dayparts": [part.value for _, part, _ in keys],
            "zones": [zone for _, _, zone in keys],
            "prices": [card[key] for key in keys],
        },
    )


async def theater_count(tx: Transaction, names: Sequence[str]) -> int:
    """How many of the theaters are there."""
    statement = text("SELECT count(*) FROM theaters WHERE name = ANY(CAST(:names AS text[]))")
    count: int = (await tx.execute(statement, {"names": sorted(names)})).scalar_one()
    return count
