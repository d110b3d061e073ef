"""Statements over theaters, rooms, shows and price cards; one question each."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from cinesync.chassis.database import Row, Transaction, text
from cinesync.contracts.movies import Layout, LayoutSeat
from cinesync.movies.model import SHOW_LENGTH_MAX, Auditorium, Daypart, Show, Theater, TimeRange

HUNDREDTHS = 100
PriceCards = Mapping[tuple[str, Daypart], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class AuditoriumRow:
    """An auditorium with the theater around it."""

    auditorium: Auditorium
    theater: Theater


async def database_now(tx: Transaction) -> datetime:
    """The clock that decides what is past."""
    moment: datetime = (await tx.execute(text("SELECT now()"))).scalar_one()
    return moment


async def rooms(
    tx: Transaction, auditorium_id: UUID | None, theater_id: UUID | None
) -> list[AuditoriumRow]:
    """One auditorium, or all of a theater."""
    statement = text(
        "SELECT a.auditorium_id, a.name, a.format, a.layout_id, a.seat_count, t.region,"
        " t.theater_id, t.name AS theater_name, t.city, t.country, t.address, t.time_zone,"
        " t.currency"
        " FROM auditoriums AS a"
        " JOIN theaters AS t ON t.region = a.region AND t.theater_id = a.theater_id"
        " WHERE a.auditorium_id = CAST(:auditorium_id AS uuid)"
        " OR t.theater_id = CAST(:theater_id AS uuid)"
        " ORDER BY a.name ASC"
    )
    found = await tx.execute(statement, {"auditorium_id": auditorium_id, "theater_id": theater_id})
    return [_room(row) for row in found]


async def layouts(tx: Transaction, layout_ids: Collection[UUID]) -> dict[UUID, Layout]:
    """Every seat of some layouts, in the order it was drawn."""
    statement = text(
        "SELECT layout_id, seat, row_label, number, zone, kind, x_hundredths, y_hundredths, run,"
        " companion_of"
        " FROM seats WHERE layout_id = ANY(CAST(:layout_ids AS uuid[]))"
        " ORDER BY layout_id ASC, ordinal ASC"
    )
    rows = await tx.execute(statement, {"layout_ids": sorted(layout_ids)})
    seats: defaultdict[UUID, list[LayoutSeat]] = defaultdict(list)
    for row in rows:
        seats[row.layout_id].append(_seat(row))
    return {key: Layout(layout_id=key, seats=tuple(those)) for key, those in seats.items()}


async def add_layouts(tx: Transaction, drawn: Sequence[Layout]) -> None:
    """The same seats have the same id: a layout that is there is this one."""
    statement = text(
        "INSERT INTO seats (layout_id, seat, ordinal, row_label, number, zone, kind, x_hundredths,"
        " y_hundredths, run, companion_of)"
        " SELECT t.layout_id, t.seat, t.ordinal, t.row_label, t.number, t.zone, t.kind,"
        " t.x_hundredths, t.y_hundredths, t.run, t.companion_of"
        " FROM unnest(CAST(:layout_id AS uuid[]), CAST(:seat AS text[]),"
        " CAST(:ordinal AS bigint[]), CAST(:row AS text[]), CAST(:number AS bigint[]),"
        " CAST(:zone AS text[]), CAST(:kind AS text[]), CAST(:x AS bigint[]),"
        " CAST(:y AS bigint[]), CAST(:run AS bigint[]), CAST(:companion_of AS text[]))"
        " AS t(layout_id, seat, ordinal, row_label, number, zone, kind, x_hundredths,"
        " y_hundredths, run, companion_of)"
        " ON CONFLICT (layout_id, seat) DO NOTHING"
    )
    by_id = {layout.layout_id: layout for layout in drawn}
    seats = [(key, n, s) for key in sorted(by_id) for n, s in enumerate(by_id[key].seats)]
    same_name = ("seat", "row", "number", "zone", "kind", "run", "companion_of")
    columns: dict[str, Any] = {name: [getattr(s, name) for _, _, s in seats] for name in same_name}
    columns["layout_id"] = [key for key, _, _ in seats]
    columns["ordinal"] = [ordinal for _, ordinal, _ in seats]
    columns["x"] = [round(seat.x * HUNDREDTHS) for _, _, seat in seats]
    columns["y"] = [round(seat.y * HUNDREDTHS) for _, _, seat in seats]
    await tx.execute(statement, columns)


async def price_cards(tx: Transaction, theater: Theater) -> PriceCards:
    """Minor units per zone, for each format and part of the day."""
    statement = text(
        "SELECT format, daypart, zone, price_cents FROM price_cards"
        " WHERE region = CAST(:region AS text) AND theater_id = CAST(:theater_id AS uuid)"
    )
    keys = {"region": theater.region, "theater_id": theater.theater_id}
    cards: defaultdict[tuple[str, Daypart], dict[str, int]] = defaultdict(dict)
    for row in await tx.execute(statement, keys):
        cards[row.format, Daypart(row.daypart)][row.zone] = row.price_cents
    return cards


async def taken(
    tx: Transaction, room: Auditorium, wanted: TimeRange, but: UUID | None = None
) -> list[TimeRange]:
    """The shows of an auditorium that overlap a time, except the show `but`.

    No show is longer than SHOW_LENGTH_MAX, so the look back, and what a serializable transaction
    has to watch, is short.
    """
    statement = text(
        "SELECT starts_at, free_at FROM shows WHERE region = CAST(:region AS text)"
        " AND auditorium_id = CAST(:auditorium_id AS uuid) AND status = 'scheduled'"
        " AND starts_at > CAST(:earliest AS timestamptz)"
        " AND starts_at < CAST(:free_at AS timestamptz)"
        " AND free_at > CAST(:starts_at AS timestamptz)"
        " AND (CAST(:but AS uuid) IS NULL OR show_id <> CAST(:but AS uuid))"
        " ORDER BY starts_at ASC"
    )
    found = await tx.execute(
        statement,
        {
            "region": room.region,
            "auditorium_id": room.auditorium_id,
            "earliest": wanted.starts_at - SHOW_LENGTH_MAX,
            "starts_at": wanted.starts_at,
            "free_at": wanted.free_at,
            "but": but,
        },
    )
    return [TimeRange(row.starts_at, row.free_at) for row in found]


async def taken_in(
    tx: Transaction, theater: Theater, wanted: TimeRange
) -> dict[UUID, list[TimeRange]]:
    """The shows of a theater that may overlap a time, by auditorium."""
    statement = text(
        "SELECT auditorium_id, starts_at, free_at FROM shows"
        " WHERE region = CAST(:region AS text) AND theater_id = CAST(:theater_id AS uuid)"
        " AND status = 'scheduled' AND starts_at > CAST(:earliest AS timestamptz)"
        " AND starts_at < CAST(:free_at AS timestamptz)"
        " ORDER BY starts_at ASC"
    )
    values: dict[str, Any] = {"region": theater.region, "theater_id": theater.theater_id}
    values |= {"earliest": wanted.starts_at - SHOW_LENGTH_MAX, "free_at": wanted.free_at}
    found: defaultdict[UUID, list[TimeRange]] = defaultdict(list)
    for row in await tx.execute(statement, values):
        found[row.auditorium_id].append(TimeRange(row.starts_at, row.free_at))
    return found


async def add_shows(tx: Transaction, planned: Sequence[Show]) -> None:
    """New shows, with no seat taken."""
    statement = text(
        "INSERT INTO shows (region, show_id, movie_id, theater_id, auditorium_id, layout_id,"
        " starts_at, ends_at, free_at, local_date, format, language, subtitles, currency,"
        " prices_cents, seat_count, status, revision, announced_at, sales_close_minutes)"
        " SELECT t.region, t.show_id, t.movie_id, t.theater_id, t.auditorium_id, t.layout_id,"
        " t.starts_at, t.ends_at, t.free_at, t.local_date, t.format, t.language, t.subtitles,"
        " t.currency, CAST(t.prices_cents AS jsonb), t.seat_count, t.status, t.revision,"
        " t.announced_at, t.sales_close_minutes"
        " FROM unnest(CAST(:region AS text[]), CAST(:show_id AS uuid[]),"
        " CAST(:movie_id AS uuid[]), CAST(:theater_id AS uuid[]), CAST(:auditorium_id AS uuid[]),"
        " CAST(:layout_id AS uuid[]), CAST(:starts_at AS timestamptz[]),"
        " CAST(:ends_at AS timestamptz[]), CAST(:free_at AS timestamptz[]),"
        " CAST(:local_date AS date[]), CAST(:format AS text[]), CAST(:language AS text[]),"
        " CAST(:subtitles AS text[]), CAST(:currency AS text[]), CAST(:prices_cents AS text[]),"
        " CAST(:seat_count AS bigint[]), CAST(:status AS text[]), CAST(:revision AS bigint[]),"
        " CAST(:announced_at AS timestamptz[]), CAST(:sales_close_minutes AS bigint[]))"
        " AS t(region, show_id, movie_id, theater_id, auditorium_id, layout_id, starts_at,"
        " ends_at, free_at, local_date, format, language, subtitles, currency, prices_cents,"
        " seat_count, status, revision, announced_at, sales_close_minutes)"
    )
    if planned:
        names = Show.__dataclass_fields__.keys() - {"cancel_reason"}
        columns: dict[str, Any] = {name: [getattr(s, name) for s in planned] for name in names}
        columns["prices_cents"] = [_json(show.prices_cents) for show in planned]
        await tx.execute(statement, columns)


async def show(tx: Transaction, show_id: UUID) -> Show | None:
    """A show as it is kept."""
    statement = text(
        "SELECT region, show_id, movie_id, theater_id, auditorium_id, layout_id, starts_at,"
        " ends_at, free_at, local_date, format, language, subtitles, currency, prices_cents,"
        " seat_count, status, revision, announced_at, sales_close_minutes"
        " FROM shows WHERE show_id = CAST(:show_id AS uuid)"
    )
    row = (await tx.execute(statement, {"show_id": show_id})).mappings().first()
    if row is None:
        return None
    return Show(**{**row, "prices_cents": prices(row["prices_cents"])})


async def save_show(tx: Transaction, changed: Show) -> bool:
    """Write what may change, if nobody changed the revision before; whether it was written."""
    statement = text(
        "UPDATE shows SET starts_at = CAST(:starts_at AS timestamptz),"
        " ends_at = CAST(:ends_at AS timestamptz), free_at = CAST(:free_at AS timestamptz),"
        " local_date = CAST(:local_date AS date), prices_cents = CAST(:prices_cents AS jsonb),"
        " status = CAST(:status AS text), cancel_reason = CAST(:cancel_reason AS text),"
        " announced_at = CAST(:announced_at AS timestamptz),"
        " sales_close_minutes = CAST(:sales_close_minutes AS bigint),"
        " revision = CAST(:revision AS bigint)"
        " WHERE region = CAST(:region AS text) AND show_id = CAST(:show_id AS uuid)"
        " AND revision = CAST(:revision AS bigint) - 1"
    )
    names = (
        "starts_at", "ends_at", "free_at", "local_date", "status", "cancel_reason", "announced_at",
        "sales_close_minutes", "revision", "region", "show_id",
    )  # fmt: skip
    values = {name: getattr(changed, name) for name in names}
    values["prices_cents"] = _json(changed.prices_cents)
    return (await tx.execute(statement, values)).rowcount == 1


async def move_seats(tx: Transaction, moved: Mapping[tuple[str, UUID], int]) -> None:
    """Add to the seats taken of each (region, show); additions may come in any order."""
    statement = text(
        "UPDATE shows SET seats_taken = seats_taken + t.seats"
        " FROM unnest(CAST(:regions AS text[]), CAST(:show_ids AS uuid[]),"
        " CAST(:seats AS bigint[])) AS t(region, show_id, seats)"
        " WHERE shows.region = t.region AND shows.show_id = t.show_id"
    )
    keys = sorted(key for key, seats in moved.items() if seats)
    if keys:
        await tx.execute(
            statement,
            {
                "regions": [region for region, _ in keys],
                "show_ids": [show_id for _, show_id in keys],
                "seats": [moved[key] for key in keys],
            },
        )


async def theater_language(tx: Transaction, theater: Theater) -> str:
    """The language of a theater's audience."""
    statement = text(
        "SELECT language FROM theaters WHERE region = CAST(:region AS text)"
        " AND theater_id = CAST(:theater_id AS uuid)"
    )
    keys = {"region": theater.region, "theater_id": theater.theater_id}
    language: str = (await tx.execute(statement, keys)).scalar_one()
    return language


async def programmed_until(tx: Transaction) -> dict[tuple[str, UUID], date | None]:
    """For each theater (region, id) the last day whose shows were planned."""
    statement = text(
        "SELECT region, theater_id, programmed_until FROM theaters"
        " ORDER BY region ASC, city ASC, name ASC"
    )
    found = await tx.execute(statement)
    return {(row.region, row.theater_id): row.programmed_until for row in found}


async def set_programmed_until(tx: Transaction, theater: Theater, last_day: date) -> None:
    """The days up to `last_day` are planned now."""
    statement = text(
        "UPDATE theaters SET programmed_until = CAST(:last_day AS date)"
        " WHERE region = CAST(:region AS text) AND theater_id = CAST(:theater_id AS uuid)"
    )
    keys = {"region": theater.region, "theater_id": theater.theater_id}
    await tx.execute(statement, {"last_day": last_day, **keys})


async def day_starts(tx: Transaction, theater_id: UUID) -> int | None:
    """When the theater's business day begins, in minutes after midnight."""
    statement = text(
        "SELECT day_starts_minutes FROM theaters WHERE theater_id = CAST(:theater_id AS uuid)"
    )
    found: int | None = (await tx.execute(statement, {"theater_id": theater_id})).scalar()
    return found


async def set_day_starts(tx: Transaction, theater_id: UUID, minutes: int) -> None:
    """Begin the theater's business day at another minute after midnight."""
    statement = text(
        "UPDATE theaters SET day_starts_minutes = CAST(:minutes AS bigint)"
        " WHERE theater_id = CAST(:theater_id AS uuid)"
    )
    await tx.execute(statement, {"minutes": minutes, "theater_id": theater_id})


def prices(document: Any) -> dict[str, int]:
    """Prices as the driver hands JSONB over: text, or decoded already."""
    if isinstance(document, str | bytes):
        return msgspec.json.decode(document, type=dict[str, int])
    return dict(document)


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


def _room(row: Row) -> AuditoriumRow:
    return AuditoriumRow(
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
