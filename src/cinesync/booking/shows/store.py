"""Statements about shows, and the layouts that they are sold in."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from sqlalchemy import bindparam, delete, func, select, update

from cinesync.booking.model import Move, Show
from cinesync.booking.tables import early_show_changes, layouts, seats, shows
from cinesync.chassis.database import Transaction, any_of, batch, compiled, insert_from, matches
from cinesync.contracts.movies import Layout, LayoutSeat, ShowCancelled, ShowChanged, ShowScheduled

_FIELDS: Final = Show.__struct_fields__

NEW_LAYOUTS = batch("new_layouts", layouts.c.layout_id)
INSERT_LAYOUTS = compiled(
    insert_from(layouts, NEW_LAYOUTS)
    .on_conflict_do_nothing(index_elements=list(layouts.primary_key))
    .returning(layouts.c.layout_id)
)


async def insert_layouts(tx: Transaction, layout_ids: Iterable[UUID]) -> set[UUID]:
    """Those that were not known."""
    rows = [(layout_id,) for layout_id in sorted(set(layout_ids))]
    return set((await tx.execute(INSERT_LAYOUTS, {"new_layouts": rows})).scalars())


NEW_SEATS = batch("new_seats", *seats.c)
INSERT_SEATS = compiled(insert_from(seats, NEW_SEATS))


async def insert_seats(tx: Transaction, new_layouts: Sequence[Layout]) -> None:
    """The seats of new layouts."""
    rows = [
        (
            layout.layout_id,
            seat.seat,
            seat.row,
            seat.number,
            seat.zone,
            seat.kind,
            float(seat.x),
            float(seat.y),
            seat.run,
            seat.companion_of,
        )
        for layout in new_layouts
        for seat in layout.seats
    ]
    await tx.execute(INSERT_SEATS, {"new_seats": rows})


_SCHEDULED_FIELDS: Final = (
    "region", "show_id", "movie_id", "movie_title", "theater_id", "theater_name", "city",
    "time_zone", "auditorium_name", "starts_at", "ends_at", "format", "language", "currency",
    "sales_close_minutes",
)  # fmt: skip
NEW_SHOWS = batch(
    "new_shows",
    *(shows.c[name] for name in _SCHEDULED_FIELDS),
    shows.c.prices_cents,
    shows.c.layout_id,
)
INSERT_SHOWS = compiled(
    insert_from(shows, NEW_SHOWS, revision=0, cancelled=False)
    .on_conflict_do_nothing(index_elements=list(shows.primary_key))
    .returning(shows.c.show_id)
)


async def insert_shows(tx: Transaction, scheduled: Sequence[ShowScheduled]) -> set[UUID]:
    """Put shows on sale; those that were not known."""
    rows = [
        (
            *(getattr(show, name) for name in _SCHEDULED_FIELDS),
            _json(show.prices_cents),
            show.layout.layout_id,
        )
        for show in scheduled
    ]
    return set((await tx.execute(INSERT_SHOWS, {"new_shows": rows})).scalars())


CHANGES = batch(
    "changes",
    shows.c.region,
    shows.c.show_id,
    shows.c.revision,
    shows.c.starts_at,
    shows.c.ends_at,
    shows.c.prices_cents,
    shows.c.sales_close_minutes,
    shows.c.moves,
)
UPDATE_SHOWS = compiled(
    update(shows)
    .where(matches(shows, CHANGES), shows.c.revision < CHANGES.c.revision)
    .values(
        revision=CHANGES.c.revision,
        starts_at=CHANGES.c.starts_at,
        ends_at=CHANGES.c.ends_at,
        prices_cents=CHANGES.c.prices_cents,
        moves=CHANGES.c.moves,
        sales_close_minutes=CHANGES.c.sales_close_minutes,
    )
    .returning(shows.c.show_id)
)


async def update_shows(
    tx: Transaction, changes: Sequence[ShowChanged], moves: Mapping[UUID, Sequence[Move]]
) -> set[UUID]:
    """New times and prices, and the moves until then; those whose revision is newer."""
    rows = [(*_change_row(one), _json(moves.get(one.show_id, ()))) for one in changes]
    return set((await tx.execute(UPDATE_SHOWS, {"changes": rows})).scalars())


CANCELLATIONS = batch("cancellations", shows.c.region, shows.c.show_id, shows.c.cancel_reason)
SET_CANCELLED = compiled(
    update(shows)
    .where(matches(shows, CANCELLATIONS), ~shows.c.cancelled)
    .values(cancelled=True, cancel_reason=CANCELLATIONS.c.cancel_reason)
    .returning(shows.c.show_id)
)


async def set_cancelled(tx: Transaction, cancelled: Sequence[ShowCancelled]) -> set[UUID]:
    """Stop the sale of shows; those that were on sale."""
    rows = [(event.region, event.show_id, event.reason or None) for event in cancelled]
    return set((await tx.execute(SET_CANCELLED, {"cancellations": rows})).scalars())


END_SALE = compiled(
    update(shows)
    .where(
        shows.c.region == bindparam("of_region"),
        shows.c.show_id == bindparam("of_show"),
        ~shows.c.cancelled,
    )
    .values(cancelled=True, cancel_reason=bindparam("note"))
)


async def end_sale(tx: Transaction, show: Show, note: str) -> None:
    """Stop the sale of a show."""
    parameters = {"of_region": show.region, "of_show": show.show_id, "note": note}
    await tx.execute(END_SALE, parameters)


EARLY_CHANGES = batch(
    "early_changes",
    early_show_changes.c.region,
    early_show_changes.c.show_id,
    early_show_changes.c.revision,
    early_show_changes.c.starts_at,
    early_show_changes.c.ends_at,
    early_show_changes.c.prices_cents,
    early_show_changes.c.sales_close_minutes,
)
_early_change = insert_from(early_show_changes, EARLY_CHANGES, cancelled=False)
SAVE_EARLY_CHANGES = compiled(
    _early_change.on_conflict_do_update(
        index_elements=list(early_show_changes.primary_key),
        set_={
            name: _early_change.excluded[name]
            for name in ("revision", "starts_at", "ends_at", "prices_cents", "sales_close_minutes")
        },
        where=early_show_changes.c.revision < _early_change.excluded.revision,
    )
)


async def save_early_changes(tx: Transaction, changes: Sequence[ShowChanged]) -> None:
    """Save changes of unknown shows, one for each, until their show.scheduled arrives."""
    rows = [_change_row(change) for change in changes]
    await tx.execute(SAVE_EARLY_CHANGES, {"early_changes": rows})


EARLY_CANCELLATIONS = batch(
    "early_cancellations",
    early_show_changes.c.region,
    early_show_changes.c.show_id,
    early_show_changes.c.cancel_reason,
)
_early_cancellation = insert_from(
    early_show_changes, EARLY_CANCELLATIONS, revision=0, cancelled=True
)
SAVE_EARLY_CANCELLATIONS = compiled(
    _early_cancellation.on_conflict_do_update(
        index_elements=list(early_show_changes.primary_key),
        set_={"cancelled": True, "cancel_reason": _early_cancellation.excluded.cancel_reason},
    )
)


async def save_early_cancellations(tx: Transaction, cancelled: Sequence[ShowCancelled]) -> None:
    """Save cancellations of unknown shows, until their show.scheduled arrives."""
    rows = [(event.region, event.show_id, event.reason or None) for event in cancelled]
    await tx.execute(SAVE_EARLY_CANCELLATIONS, {"early_cancellations": rows})


class EarlyChange(NamedTuple):
    """What overtook a show's show.scheduled. Revision 0: only a cancellation, if any."""

    region: str
    show_id: UUID
    revision: int
    starts_at: datetime
    ends_at: datetime
    prices_cents: Mapping[str, int]
    cancelled: bool
    cancel_reason: str | None
    sales_close_minutes: int | None


TAKE_EARLY_CHANGES = compiled(
    delete(early_show_changes)
    .where(any_of(early_show_changes.c.show_id, "show_ids"))
    .returning(*(early_show_changes.c[name] for name in EarlyChange._fields))
)


async def take_early_changes(tx: Transaction, show_ids: Iterable[UUID]) -> list[EarlyChange]:
    """What overtook these shows; it is deleted here."""
    rows = await tx.execute(TAKE_EARLY_CHANGES, {"show_ids": sorted(show_ids)})
    return [EarlyChange(*row) for row in rows]


FIND_SHOWS = compiled(
    select(
        *(func.now().label(name) if name == "read_at" else shows.c[name] for name in _FIELDS)
    ).where(any_of(shows.c.show_id, "show_ids"))
)


async def find_shows(tx: Transaction, show_ids: Iterable[UUID]) -> Mapping[UUID, Show]:
    """Shows by id, with the database's clock."""
    rows = await tx.execute(FIND_SHOWS, {"show_ids": sorted(set(show_ids))})
    return {row.show_id: _show_of(row) for row in rows}


def _show_of(row: Iterable[Any]) -> Show:
    values = dict(zip(_FIELDS, row, strict=True))
    values["moves"] = msgspec.convert(values["moves"], list[Move]) if values["moves"] else ()
    return Show(**values)


FIND_TIME_ZONE = compiled(
    select(shows.c.time_zone)
    .where(shows.c.theater_id == bindparam("theater_id"))
    .order_by(shows.c.starts_at.desc())
    .limit(1)
)


async def time_zone_of(tx: Transaction, theater_id: UUID) -> str | None:
    """The theater's time zone, if it has shows."""
    found: str | None = (await tx.execute(FIND_TIME_ZONE, {"theater_id": theater_id})).scalar()
    return found


FIND_SEATS = compiled(
    select(
        seats.c.seat,
        seats.c.row_name.label("row"),
        seats.c.number,
        seats.c.zone,
        seats.c.kind,
        seats.c.x,
        seats.c.y,
        seats.c.run,
        seats.c.companion_of,
    )
    .where(seats.c.layout_id == bindparam("layout_id"))
    .order_by(seats.c.y, seats.c.row_name, seats.c.number)
)


async def find_seats(tx: Transaction, layout_id: UUID) -> list[LayoutSeat]:
    """The seats of a layout, row by row."""
    rows = await tx.execute(FIND_SEATS, {"layout_id": layout_id})
    return [LayoutSeat(**dict(row)) for row in rows]


def _change_row(change: ShowChanged) -> tuple[object, ...]:
    return (
        change.region,
        change.show_id,
        change.revision,
        change.starts_at,
        change.ends_at,
        _json(change.prices_cents),
        change.sales_close_minutes,
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
