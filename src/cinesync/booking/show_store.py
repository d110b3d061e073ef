"""Statements about the shows that are sold, and the layouts they are sold in."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select

from cinesync.booking.model import Move, Show
from cinesync.booking.tables import early_show_changes, seats
from cinesync.chassis.database import Transaction, text
from cinesync.contracts.movies import (
    Layout,
    LayoutSeat,
    ShowCancelled,
    ShowChanged,
    ShowScheduled,
)

_SHOW_FIELDS = (
    "region", "show_id", "movie_id", "movie_title", "theater_id", "theater_name", "city",
    "time_zone", "auditorium_name", "starts_at", "ends_at", "format", "language", "currency",
    "sales_close_minutes",
)  # fmt: skip

_FIELDS = Show.__struct_fields__
SHOW_COLUMNS = ", ".join("now() AS read_at" if name == "read_at" else name for name in _FIELDS)


async def insert_layouts(tx: Transaction, layout_ids: Iterable[UUID]) -> set[UUID]:
    """Those that were not known."""
    statement = text(
        "INSERT INTO layouts (layout_id) SELECT t.layout_id"
        " FROM unnest(CAST(:layout_ids AS uuid[])) AS t(layout_id)"
        " ON CONFLICT (layout_id) DO NOTHING RETURNING layout_id"
    )
    rows = await tx.execute(statement, {"layout_ids": sorted(set(layout_ids))})
    return {row.layout_id for row in rows}


async def insert_seats(tx: Transaction, layouts: Sequence[Layout]) -> None:
    """The seats of new layouts."""
    statement = text(
        "INSERT INTO seats (layout_id, seat, row_name, number, zone, kind, x, y, run,"
        " companion_of) SELECT t.layout_id, t.seat, t.row_name, t.number, t.zone, t.kind, t.x,"
        " t.y, t.run, t.companion_of FROM unnest(CAST(:layout_ids AS uuid[]),"
        " CAST(:seats AS text[]), CAST(:rows AS text[]), CAST(:numbers AS bigint[]),"
        " CAST(:zones AS text[]), CAST(:kinds AS text[]), CAST(:xs AS double precision[]),"
        " CAST(:ys AS double precision[]), CAST(:runs AS bigint[]),"
        " CAST(:companions_of AS text[])) AS t(layout_id, seat, row_name, number, zone, kind,"
        " x, y, run, companion_of)"
    )
    rows = [(layout.layout_id, seat) for layout in layouts for seat in layout.seats]
    parameters = {
        "layout_ids": [layout_id for layout_id, _ in rows],
        "seats": [seat.seat for _, seat in rows],
        "rows": [seat.row for _, seat in rows],
        "numbers": [seat.number for _, seat in rows],
        "zones": [seat.zone for _, seat in rows],
        "kinds": [seat.kind for _, seat in rows],
        "xs": [float(seat.x) for _, seat in rows],
        "ys": [float(seat.y) for _, seat in rows],
        "runs": [seat.run for _, seat in rows],
        "companions_of": [seat.companion_of for _, seat in rows],
    }
    await tx.execute(statement, parameters)


async def insert_shows(tx: Transaction, scheduled: Sequence[ShowScheduled]) -> set[UUID]:
    """Put shows on sale; those that were not known."""
    statement = text(
        "INSERT INTO shows (region, show_id, movie_id, movie_title, theater_id, theater_name,"
        " city, time_zone, auditorium_name, starts_at, ends_at, format, language, currency,"
        " prices_cents, layout_id, revision, cancelled, sales_close_minutes)"
        " SELECT t.region, t.show_id, t.movie_id, t.movie_title, t.theater_id, t.theater_name,"
        " t.city, t.time_zone, t.auditorium_name, t.starts_at, t.ends_at, t.format, t.language,"
        " t.currency,"
        " CAST(t.prices_cents AS jsonb), t.layout_id, 0, false, t.sales_close_minutes FROM unnest("
        " CAST(:region AS text[]), CAST(:show_id AS uuid[]), CAST(:movie_id AS uuid[]),"
        " CAST(:movie_title AS text[]), CAST(:theater_id AS uuid[]),"
        " CAST(:theater_name AS text[]), CAST(:city AS text[]), CAST(:time_zone AS text[]),"
        " CAST(:auditorium_name AS text[]), CAST(:starts_at AS timestamptz[]),"
        " CAST(:ends_at AS timestamptz[]), CAST(:format AS text[]), CAST(:language AS text[]),"
        " CAST(:currency AS text[]), CAST(:prices_cents AS text[]),"
        " CAST(:layout_id AS uuid[]), CAST(:sales_close_minutes AS bigint[]))"
        " AS t(region, show_id, movie_id, movie_title, theater_id,"
        " theater_name, city, time_zone, auditorium_name, starts_at, ends_at, format, language,"
        " currency, prices_cents, layout_id, sales_close_minutes)"
        " ON CONFLICT (region, show_id) DO NOTHING RETURNING show_id"
    )
    parameters: dict[str, list[Any]] = {
        name: [getattr(show, name) for show in scheduled] for name in _SHOW_FIELDS
    }
    parameters["prices_cents"] = [_json(show.prices_cents) for show in scheduled]
    parameters["layout_id"] = [show.layout.layout_id for show in scheduled]
    return {row.show_id for row in await tx.execute(statement, parameters)}


async def update_shows(
    tx: Transaction, changes: Sequence[ShowChanged], moves: Mapping[UUID, Sequence[Move]]
) -> set[UUID]:
    """Apply changes of one show each, and how often it moved; those that were newer than what was
    known."""
    statement = text(
        "UPDATE shows SET revision = t.revision, starts_at = t.starts_at, ends_at = t.ends_at,"
        " prices_cents = CAST(t.prices_cents AS jsonb), moves = CAST(t.moves AS jsonb),"
        " sales_close_minutes = t.sales_close_minutes FROM unnest(CAST(:regions AS text[]),"
        " CAST(:show_ids AS uuid[]), CAST(:revisions AS bigint[]),"
        " CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]),"
        " CAST(:prices AS text[]), CAST(:closes AS bigint[]), CAST(:moves AS text[]))"
        " AS t(region, show_id, revision, starts_at, ends_at, prices_cents, sales_close_minutes,"
        " moves) WHERE shows.region = t.region"
        " AND shows.show_id = t.show_id"
        " AND shows.revision < t.revision RETURNING shows.show_id"
    )
    told = [msgspec.json.encode(moves.get(c.show_id, ())).decode() for c in changes]
    rows = await tx.execute(statement, _change_arrays(changes) | {"moves": told})
    return {row.show_id for row in rows}


async def set_cancelled(tx: Transaction, cancelled: Sequence[ShowCancelled]) -> set[UUID]:
    """Stop selling shows; those that were on sale."""
    statement = text(
        "UPDATE shows SET cancelled = true, cancel_reason = t.reason"
        " FROM unnest(CAST(:regions AS text[]), CAST(:show_ids AS uuid[]),"
        " CAST(:reasons AS text[])) AS t(region, show_id, reason) WHERE shows.region = t.region"
        " AND shows.show_id = t.show_id AND NOT shows.cancelled RETURNING shows.show_id"
    )
    parameters = {
        "regions": [event.region for event in cancelled],
        "show_ids": [event.show_id for event in cancelled],
        "reasons": [event.reason or None for event in cancelled],
    }
    return {row.show_id for row in await tx.execute(statement, parameters)}


async def keep_early_changes(tx: Transaction, changes: Sequence[ShowChanged]) -> None:
    """Keep changes of unknown shows, one for each, until their show.scheduled comes."""
    statement = text(
        "INSERT INTO early_show_changes (region, show_id, revision, starts_at, ends_at,"
        " prices_cents, sales_close_minutes, cancelled) SELECT t.region, t.show_id, t.revision,"
        " t.starts_at, t.ends_at, CAST(t.prices_cents AS jsonb), t.sales_close_minutes, false"
        " FROM unnest("
        " CAST(:regions AS text[]), CAST(:show_ids AS uuid[]), CAST(:revisions AS bigint[]),"
        " CAST(:starts AS timestamptz[]), CAST(:ends AS timestamptz[]),"
        " CAST(:prices AS text[]), CAST(:closes AS bigint[])) AS t(region, show_id, revision,"
        " starts_at, ends_at, prices_cents, sales_close_minutes)"
        " ON CONFLICT (region, show_id) DO UPDATE SET"
        " revision = excluded.revision, starts_at = excluded.starts_at,"
        " ends_at = excluded.ends_at, prices_cents = excluded.prices_cents,"
        " sales_close_minutes = excluded.sales_close_minutes"
        " WHERE early_show_changes.revision < excluded.revision"
    )
    await tx.execute(statement, _change_arrays(changes))


async def keep_early_cancellations(tx: Transaction, cancelled: Sequence[ShowCancelled]) -> None:
    """The same for cancellations."""
    statement = text(
        "INSERT INTO early_show_changes (region, show_id, revision, cancelled, cancel_reason)"
        " SELECT t.region, t.show_id, 0, true, t.reason FROM unnest(CAST(:regions AS text[]),"
        " CAST(:show_ids AS uuid[]), CAST(:reasons AS text[])) AS t(region, show_id, reason)"
        " ON CONFLICT (region, show_id) DO UPDATE SET cancelled = true,"
        " cancel_reason = excluded.cancel_reason"
    )
    parameters = {
        "regions": [event.region for event in cancelled],
        "show_ids": [event.show_id for event in cancelled],
        "reasons": [event.reason or None for event in cancelled],
    }
    await tx.execute(statement, parameters)


@dataclass(frozen=True, slots=True)
class EarlyChange:
    """What overtook a show's scheduling. Revision 0: nothing but the cancellation, if any."""

    region: str
    show_id: UUID
    revision: int
    starts_at: Any
    ends_at: Any
    prices_cents: Any
    cancelled: bool
    cancel_reason: str | None
    sales_close_minutes: int | None


async def take_early_changes(tx: Transaction, show_ids: Iterable[UUID]) -> list[EarlyChange]:
    """What overtook these shows; it is forgotten here."""
    statement = (
        early_show_changes.delete()
        .where(early_show_changes.c.show_id.in_(sorted(show_ids)))
        .returning(*early_show_changes.c)
    )
    return [EarlyChange(*row) for row in await tx.execute(statement)]


async def find_shows(tx: Transaction, show_ids: Iterable[UUID]) -> Mapping[UUID, Show]:
    """Shows by their id alone, with the database's clock."""
    statement = text(
        f"SELECT {SHOW_COLUMNS} FROM shows"  # noqa: S608 a constant
        " WHERE show_id = ANY(CAST(:show_ids AS uuid[]))"
    )
    rows = await tx.execute(statement, {"show_ids": sorted(set(show_ids))})
    return {row.show_id: show_of(row) for row in rows}


async def time_zone_of(tx: Transaction, theater_id: UUID) -> str | None:
    """A theater's, if it has shows."""
    statement = text(
        "SELECT time_zone FROM shows WHERE theater_id = CAST(:theater_id AS uuid)"
        " ORDER BY starts_at DESC LIMIT 1"
    )
    found: str | None = (await tx.execute(statement, {"theater_id": theater_id})).scalar()
    return found


async def find_seats(tx: Transaction, layout_id: UUID) -> list[LayoutSeat]:
    """The seats of a layout, row by row."""
    statement = (
        select(
            seats.c.seat,
            seats.c.row_name,
            seats.c.number,
            seats.c.zone,
            seats.c.kind,
            seats.c.x,
            seats.c.y,
            seats.c.run,
            seats.c.companion_of,
        )
        .where(seats.c.layout_id == layout_id)
        .order_by(seats.c.y, seats.c.row_name, seats.c.number)
    )
    return [
        LayoutSeat(
            seat=row.seat,
            row=row.row_name,
            number=row.number,
            zone=row.zone,
            kind=row.kind,
            x=row.x,
            y=row.y,
            run=row.run,
            companion_of=row.companion_of,
        )
        for row in await tx.execute(statement)
    ]


def _change_arrays(changes: Sequence[ShowChanged]) -> dict[str, list[Any]]:
    return {
        "regions": [change.region for change in changes],
        "show_ids": [change.show_id for change in changes],
        "revisions": [change.revision for change in changes],
        "starts": [change.starts_at for change in changes],
        "ends": [change.ends_at for change in changes],
        "prices": [_json(change.prices_cents) for change in changes],
        "closes": [change.sales_close_minutes for change in changes],
    }


def _json(value: Mapping[str, int]) -> str:
    return msgspec.json.encode(value).decode()


def show_of(row: Iterable[Any]) -> Show:
    """A row that begins with SHOW_COLUMNS."""
    values = dict(zip(_FIELDS, row, strict=False))
    values["moves"] = msgspec.convert(values["moves"], list[Move]) if values["moves"] else ()
    return Show(**values)
