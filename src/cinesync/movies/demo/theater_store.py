"""Statements that found the chain: theaters, rooms and price cards that are not there yet."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert

from cinesync.chassis.database import (
    Transaction,
    any_of,
    batch,
    binds,
    compiled,
    insert_from,
)
from cinesync.movies.demo.theaters import DemoTheater
from cinesync.movies.model import Auditorium, Daypart
from cinesync.movies.tables import auditoriums, price_cards, theaters
from cinesync.movies.text import normal

_NAMES = ("region", "name", "city", "country", "address", "time_zone", "currency", "language")
_theater = insert(theaters).values(binds("theater_id", "city_key", *_NAMES))
ADD_THEATER = compiled(
    _theater.on_conflict_do_update(
        index_elements=[theaters.c.region, theaters.c.city, theaters.c.name],
        set_={"language": _theater.excluded.language},
    ).returning(theaters.c.theater_id)
)


async def add_theater(tx: Transaction, theater_id: UUID, plan: DemoTheater) -> UUID:
    """The id of the theater of that name in that city, new or not."""
    values = {name: getattr(plan, name) for name in _NAMES}
    values |= {"theater_id": theater_id, "city_key": normal(plan.city)}
    found: UUID = (await tx.execute(ADD_THEATER, values)).scalar_one()
    return found


ADD_AUDITORIUMS = compiled(
    insert_from(auditoriums, batch("rooms", *auditoriums.c)).on_conflict_do_nothing(
        index_elements=[auditoriums.c.region, auditoriums.c.theater_id, auditoriums.c.name]
    )
)


async def add_auditoriums(tx: Transaction, rooms: Sequence[Auditorium]) -> None:
    """Rooms that are there keep the seats they have."""
    await tx.execute(ADD_AUDITORIUMS, {"rooms": rooms})


ADD_PRICE_CARD = compiled(
    insert_from(
        price_cards,
        batch(
            "prices",
            price_cards.c.format,
            price_cards.c.daypart,
            price_cards.c.zone,
            price_cards.c.price_cents,
        ),
        **binds("region", "theater_id"),
    ).on_conflict_do_nothing(index_elements=list(price_cards.primary_key))
)


async def add_price_card(
    tx: Transaction, region: str, theater_id: UUID, card: Mapping[tuple[str, Daypart, str], int]
) -> None:
    """Prices that a manager set stay."""
    prices = [(*key, card[key]) for key in sorted(card)]
    values = {"region": region, "theater_id": theater_id, "prices": prices}
    await tx.execute(ADD_PRICE_CARD, values)


THEATER_COUNT = compiled(
    select(func.count()).select_from(theaters).where(any_of(theaters.c.name, "names"))
)


async def theater_count(tx: Transaction, names: Sequence[str]) -> int:
    """How many of the theaters are there."""
    count: int = (await tx.execute(THEATER_COUNT, {"names": sorted(names)})).scalar_one()
    return count
