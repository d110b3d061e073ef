"""Statements of the demo: its theaters, auditoriums and price cards, and the films to plan."""

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
from cinesync.movies.demo.programme import ProgrammeFilm
from cinesync.movies.demo.theaters import DemoTheater
from cinesync.movies.model import Auditorium, Daypart, TitleKey
from cinesync.movies.movie_store import HAS_KEY
from cinesync.movies.tables import auditoriums, events, price_cards, theaters
from cinesync.movies.text import search_form

_NAMES = ("region", "name", "city", "country", "address", "time_zone", "currency", "language")
_theater = insert(theaters).values(binds("theater_id", "city_key", *_NAMES))
ADD_THEATER = compiled(
    _theater.on_conflict_do_update(
        index_elements=[theaters.c.region, theaters.c.city, theaters.c.name],
        set_={"language": _theater.excluded.language},
    ).returning(theaters.c.theater_id)
)


async def add_theater(tx: Transaction, theater_id: UUID, plan: DemoTheater) -> UUID:
    """The id of the theater with that name in that city, new or not."""
    values = {name: getattr(plan, name) for name in _NAMES}
    values |= {"theater_id": theater_id, "city_key": search_form(plan.city)}
    found: UUID = (await tx.execute(ADD_THEATER, values)).scalar_one()
    return found


ADD_AUDITORIUMS = compiled(
    insert_from(auditoriums, batch("auditoriums", *auditoriums.c)).on_conflict_do_nothing(
        index_elements=[auditoriums.c.region, auditoriums.c.theater_id, auditoriums.c.name]
    )
)


async def add_auditoriums(tx: Transaction, new: Sequence[Auditorium]) -> None:
    """Add auditoriums; existing ones stay as they are."""
    await tx.execute(ADD_AUDITORIUMS, {"auditoriums": new})


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
    """Add prices; existing ones stay as they are."""
    prices = [(*key, card[key]) for key in sorted(card)]
    values = {"region": region, "theater_id": theater_id, "prices": prices}
    await tx.execute(ADD_PRICE_CARD, values)


LIST_FILMS = compiled(
    select(
        events.c.movie_id,
        events.c.title,
        events.c.running_minutes,
        events.c.popularity,
        events.c.certificate,
        events.c.language,
        events.c.type,
    ).where(HAS_KEY, events.c.running_minutes.is_not(None))
)


async def list_films(tx: Transaction, keys: Sequence[TitleKey]) -> list[ProgrammeFilm]:
    """Those of the films that can be planned: their running time is known."""
    found = await tx.execute(LIST_FILMS, {"keys": keys})
    return [ProgrammeFilm(**row) for row in found]


COUNT_THEATERS = compiled(
    select(func.count()).select_from(theaters).where(any_of(theaters.c.name, "names"))
)


async def count_theaters(tx: Transaction, names: Sequence[str]) -> int:
    """How many of the theaters exist."""
    count: int = (await tx.execute(COUNT_THEATERS, {"names": sorted(names)})).scalar_one()
    return count
