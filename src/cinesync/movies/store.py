"""Statements over shows, and what scheduling them needs: theaters, layouts and price cards."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Uuid, bindparam, select, update

from cinesync.chassis.database import (
    Row,
    Transaction,
    any_of,
    batch,
    binds,
    compiled,
    insert_from,
    matches,
)
from cinesync.contracts.movies import Layout, LayoutSeat
from cinesync.movies import tables
from cinesync.movies.model import SHOW_LENGTH_MAX, Auditorium, Daypart, Show, Theater, TimeRange
from cinesync.movies.tables import auditoriums, seats, shows, theaters

HUNDREDTHS = 100
PriceCards = Mapping[tuple[str, Daypart], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Venue:
    """An auditorium with its theater."""

    auditorium: Auditorium
    theater: Theater


VENUES = compiled(
    select(
        auditoriums.c.auditorium_id,
        auditoriums.c.name,
        auditoriums.c.format,
        auditoriums.c.layout_id,
        auditoriums.c.seat_count,
        theaters.c.region,
        theaters.c.theater_id,
        theaters.c.name.label("theater_name"),
        theaters.c.city,
        theaters.c.country,
        theaters.c.address,
        theaters.c.time_zone,
        theaters.c.currency,
    )
    .where(
        theaters.c.region == auditoriums.c.region,
        theaters.c.theater_id == auditoriums.c.theater_id,
        (auditoriums.c.auditorium_id == bindparam("auditorium_id"))
        | (theaters.c.theater_id == bindparam("theater_id")),
    )
    .order_by(auditoriums.c.name)
)


async def venues(
    tx: Transaction, auditorium_id: UUID | None, theater_id: UUID | None
) -> list[Venue]:
    """One auditorium, or all of a theater."""
    found = await tx.execute(VENUES, {"auditorium_id": auditorium_id, "theater_id": theater_id})
    return [_venue(row) for row in found]


LAYOUTS = compiled(
    select(*(column for column in seats.c if column.name != "ordinal"))
    .where(any_of(seats.c.layout_id, "layout_ids"))
    .order_by(seats.c.layout_id, seats.c.ordinal)
)


async def layouts(tx: Transaction, layout_ids: Collection[UUID]) -> dict[UUID, Layout]:
    """Layouts by id, their seats in the order of the drawing."""
    rows = await tx.execute(LAYOUTS, {"layout_ids": sorted(layout_ids)})
    found: defaultdict[UUID, list[LayoutSeat]] = defaultdict(list)
    for row in rows:
        found[row.layout_id].append(_seat(row))
    return {key: Layout(layout_id=key, seats=tuple(those)) for key, those in found.items()}


ADD_LAYOUTS = compiled(
    insert_from(seats, batch("seats", *seats.c)).on_conflict_do_nothing(
        index_elements=list(seats.primary_key)
    )
)


async def add_layouts(tx: Transaction, new: Sequence[Layout]) -> None:
    """Add layouts. An existing one with the same id has the same seats."""
    by_id = {layout.layout_id: layout for layout in new}
    rows = [
        {
            "layout_id": layout_id,
            "seat": seat.seat,
            "ordinal": ordinal,
            "row_label": seat.row,
            "number": seat.number,
            "zone": seat.zone,
            "kind": seat.kind,
            "x_hundredths": round(seat.x * HUNDREDTHS),
            "y_hundredths": round(seat.y * HUNDREDTHS),
            "run": seat.run,
            "companion_of": seat.companion_of,
        }
        for layout_id in sorted(by_id)
        for ordinal, seat in enumerate(by_id[layout_id].seats)
    ]
    await tx.execute(ADD_LAYOUTS, {"seats": rows})


PRICE_CARDS = compiled(
    select(
        tables.price_cards.c.format,
        tables.price_cards.c.daypart,
        tables.price_cards.c.zone,
        tables.price_cards.c.price_cents,
    ).where(
        tables.price_cards.c.region == bindparam("region"),
        tables.price_cards.c.theater_id == bindparam("theater_id"),
    )
)


async def price_cards(tx: Transaction, theater: Theater) -> PriceCards:
    """Minor units per zone, for each format and part of the day."""
    keys = {"region": theater.region, "theater_id": theater.theater_id}
    cards: defaultdict[tuple[str, Daypart], dict[str, int]] = defaultdict(dict)
    for row in await tx.execute(PRICE_CARDS, keys):
        cards[row.format, Daypart(row.daypart)][row.zone] = row.price_cents
    return cards


_OVERLAPS = (
    (shows.c.status == "scheduled")
    & (shows.c.starts_at > bindparam("earliest"))
    & (shows.c.starts_at < bindparam("free_at"))
)
TAKEN = compiled(
    select(shows.c.starts_at, shows.c.free_at)
    .where(
        shows.c.region == bindparam("region"),
        shows.c.auditorium_id == bindparam("auditorium_id"),
        _OVERLAPS,
        shows.c.free_at > bindparam("starts_at"),
        bindparam("but", type_=Uuid).is_(None) | (shows.c.show_id != bindparam("but")),
    )
    .order_by(shows.c.starts_at)
)


async def taken(
    tx: Transaction, auditorium: Auditorium, time_range: TimeRange, but: UUID | None = None
) -> list[TimeRange]:
    """The shows of an auditorium that overlap a time range, except the show `but`.

    No show is longer than SHOW_LENGTH_MAX, so few earlier shows are read, and the range that a
    serializable transaction locks is short.
    """
    found = await tx.execute(
        TAKEN,
        {
            "region": auditorium.region,
            "auditorium_id": auditorium.auditorium_id,
            "earliest": time_range.starts_at - SHOW_LENGTH_MAX,
            "starts_at": time_range.starts_at,
            "free_at": time_range.free_at,
            "but": but,
        },
    )
    return [TimeRange(row.starts_at, row.free_at) for row in found]


TAKEN_IN_THEATER = compiled(
    select(shows.c.auditorium_id, shows.c.starts_at, shows.c.free_at)
    .where(
        shows.c.region == bindparam("region"),
        shows.c.theater_id == bindparam("theater_id"),
        _OVERLAPS,
    )
    .order_by(shows.c.starts_at)
)


async def taken_in_theater(
    tx: Transaction, theater: Theater, time_range: TimeRange
) -> dict[UUID, list[TimeRange]]:
    """The shows of a theater that may overlap a time range, by auditorium."""
    values: dict[str, Any] = {"region": theater.region, "theater_id": theater.theater_id}
    values |= {"earliest": time_range.starts_at - SHOW_LENGTH_MAX, "free_at": time_range.free_at}
    found: defaultdict[UUID, list[TimeRange]] = defaultdict(list)
    for row in await tx.execute(TAKEN_IN_THEATER, values):
        found[row.auditorium_id].append(TimeRange(row.starts_at, row.free_at))
    return found


_NEW = tuple(c for c in shows.c if c.name not in {"seats_taken", "cancel_reason"})
ADD_SHOWS = compiled(insert_from(shows, batch("new", *_NEW)))


async def add_shows(tx: Transaction, new: Sequence[Show]) -> None:
    """Insert shows, with no seat taken."""
    if new:
        rows = [
            {column.name: getattr(show, column.name) for column in _NEW}
            | {"prices_cents": _json(show.prices_cents)}
            for show in new
        ]
        await tx.execute(ADD_SHOWS, {"new": rows})


SHOW = compiled(select(*_NEW).where(shows.c.show_id == bindparam("show_id")))


async def show(tx: Transaction, show_id: UUID) -> Show | None:
    """One show."""
    row = (await tx.execute(SHOW, {"show_id": show_id})).first()
    return None if row is None else Show(**row)


_CHANGEABLE = (
    "starts_at",
    "ends_at",
    "free_at",
    "local_date",
    "status",
    "cancel_reason",
    "announced_at",
    "sales_close_minutes",
    "revision",
)
SAVE_SHOW = compiled(
    update(shows)
    .values(**binds("prices_cents", *_CHANGEABLE))
    .where(
        shows.c.region == bindparam("region"),
        shows.c.show_id == bindparam("show_id"),
        shows.c.revision == bindparam("revision", type_=BigInteger) - 1,
    )
)


async def save_show(tx: Transaction, changed: Show) -> bool:
    """Write the next revision of a show; False: another transaction wrote it first."""
    values = {name: getattr(changed, name) for name in (*_CHANGEABLE, "region", "show_id")}
    values["prices_cents"] = _json(changed.prices_cents)
    return (await tx.execute(SAVE_SHOW, values)).rowcount == 1


_ADDED = batch("added", shows.c.region, shows.c.show_id, shows.c.seats_taken)
ADD_SEATS_TAKEN = compiled(
    update(shows)
    .values(seats_taken=shows.c.seats_taken + _ADDED.c.seats_taken)
    .where(matches(shows, _ADDED))
)


async def add_seats_taken(tx: Transaction, added: Mapping[tuple[str, UUID], int]) -> None:
    """Add to the taken seats of each (region, show); the order of additions does not matter."""
    keys = sorted(key for key, seats in added.items() if seats)
    if keys:
        await tx.execute(ADD_SEATS_TAKEN, {"added": [(*key, added[key]) for key in keys]})


THEATER_LANGUAGE = compiled(
    select(theaters.c.language).where(
        theaters.c.region == bindparam("region"), theaters.c.theater_id == bindparam("theater_id")
    )
)


async def theater_language(tx: Transaction, theater: Theater) -> str:
    """The language of a theater's audience."""
    keys = {"region": theater.region, "theater_id": theater.theater_id}
    language: str = (await tx.execute(THEATER_LANGUAGE, keys)).scalar_one()
    return language


PROGRAMMED_UNTIL = compiled(
    select(theaters.c.region, theaters.c.theater_id, theaters.c.programmed_until).order_by(
        theaters.c.region, theaters.c.city, theaters.c.name
    )
)


async def programmed_until(tx: Transaction) -> dict[tuple[str, UUID], date | None]:
    """The last day with planned shows, by theater (region, id)."""
    found = await tx.execute(PROGRAMMED_UNTIL)
    return {(row.region, row.theater_id): row.programmed_until for row in found}


SET_PROGRAMMED_UNTIL = compiled(
    update(theaters)
    .values(programmed_until=bindparam("last_day"))
    .where(
        theaters.c.region == bindparam("region"), theaters.c.theater_id == bindparam("theater_id")
    )
)


async def set_programmed_until(tx: Transaction, theater: Theater, last_day: date) -> None:
    """Record that the days up to `last_day` are planned."""
    keys = {"region": theater.region, "theater_id": theater.theater_id}
    await tx.execute(SET_PROGRAMMED_UNTIL, {"last_day": last_day, **keys})


DAY_STARTS = compiled(
    select(theaters.c.day_starts_minutes).where(theaters.c.theater_id == bindparam("theater_id"))
)


async def day_starts(tx: Transaction, theater_id: UUID) -> int | None:
    """When the theater's business day begins, in minutes after midnight."""
    found: int | None = (await tx.execute(DAY_STARTS, {"theater_id": theater_id})).scalar()
    return found


SET_DAY_STARTS = compiled(
    update(theaters)
    .values(day_starts_minutes=bindparam("minutes"))
    .where(theaters.c.theater_id == bindparam("theater_id"))
)


async def set_day_starts(tx: Transaction, theater_id: UUID, minutes: int) -> None:
    """Set when the theater's business day begins, in minutes after midnight."""
    await tx.execute(SET_DAY_STARTS, {"minutes": minutes, "theater_id": theater_id})


def _json(document: object) -> str:
    return msgspec.json.encode(document).decode()


def _seat(row: Row) -> LayoutSeat:
    return LayoutSeat(
        seat=row.seat,
        row=row.row_label,
        number=row.number,
        zone=row.zone,
        kind=row.kind,
        x=row.x_hundredths / HUNDREDTHS,
        y=row.y_hundredths / HUNDREDTHS,
        run=row.run,
        companion_of=row.companion_of,
    )


def _venue(row: Row) -> Venue:
    return Venue(
        Auditorium(
            auditorium_id=row.auditorium_id,
            region=row.region,
            theater_id=row.theater_id,
            name=row.name,
            format=row.format,
            layout_id=row.layout_id,
            seat_count=row.seat_count,
        ),
        Theater(
            theater_id=row.theater_id,
            region=row.region,
            name=row.theater_name,
            city=row.city,
            country=row.country,
            address=row.address,
            time_zone=row.time_zone,
            currency=row.currency,
        ),
    )
