"""The commands of the programme: films told, shows planned, moved and cancelled, seats counted."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cinesync.chassis import audit_log, clock
from cinesync.chassis.audit_log import OPERATOR, SYSTEM, Actor
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    BookingReduced,
    ShowRefundBegun,
)
from cinesync.contracts.movies import Layout, ShowCancelled, ShowChanged, ShowScheduled
from cinesync.movies import movie_store, store
from cinesync.movies.model import (
    CLEANING,
    SHOW_LENGTH_MAX,
    ChangeShow,
    ChangeTheater,
    Movie,
    MoviesAuditAction,
    NoSuchAuditorium,
    NoSuchMovie,
    NoSuchShow,
    NoSuchTheater,
    ScheduleShow,
    Show,
    ShowOver,
    ShowOverlaps,
    ShowStatus,
    ShowTransition,
    ShowUnfit,
    Theater,
    TimeRange,
    after,
    daypart,
    ends_at,
    merged,
    priced,
)
from cinesync.movies.store import AuditoriumRow, PriceCards

PLAN_AHEAD_MAX = timedelta(days=400)


@dataclass(frozen=True, slots=True)
class UpsertCounts:
    """How many films a batch added, changed, and only repeated."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0


async def upsert_movies(tx: Transaction, movies: Sequence[Movie]) -> UpsertCounts:
    """Add the films that are new and what is new about the others. Told twice changes nothing."""
    by_key = {movie.key(): movie for movie in movies}
    known = await movie_store.known(tx, sorted(by_key))
    new = {clock.new_id(): movie for key, movie in by_key.items() if key not in known}
    changed = {
        movie_id: better
        for key, (movie_id, old) in known.items()
        if (better := merged(old, by_key[key])) != old
    }
    await movie_store.add(tx, new)
    await movie_store.save(tx, changed)
    if new or changed:
        entry = audit_log.Entry(
            actor=OPERATOR,
            action=MoviesAuditAction.MOVIES_IMPORTED,
            object_kind="catalogue",
            object_id="movies",
            after={"added": len(new), "changed": sorted(changed)},
        )
        await audit_log.append(tx, [entry])
    return UpsertCounts(len(new), len(changed), len(known) - len(changed))


async def introduce_movies(tx: Transaction, movies: Sequence[Movie]) -> int:
    """Add the films that are new and fill the gaps of the others; how many were new."""
    by_key = {movie.key(): movie for movie in movies}
    known = await movie_store.known(tx, sorted(by_key))
    filled = {
        movie_id: fuller
        for key, (movie_id, old) in known.items()
        if (fuller := merged(by_key[key], old)) != old
    }
    await movie_store.add(tx, {clock.new_id(): m for key, m in by_key.items() if key not in known})
    await movie_store.save(tx, filled)
    return len(by_key) - len(known)


async def schedule_show(tx: Transaction, command: ScheduleShow, by: Actor = SYSTEM) -> UUID:
    """Raises NoSuchMovie, NoSuchAuditorium, ShowOverlaps or ShowUnfit."""
    film = await movie_store.film(tx, command.movie_id)
    if film is None:
        raise NoSuchMovie(movie_id=str(command.movie_id))
    room = await _room(tx, command.auditorium_id)
    await _refuse_odd_time(tx, command.starts_at)
    running_minutes = command.running_minutes or film["running_minutes"]
    if running_minutes is None:
        raise ShowUnfit(
            f"{film['title']} has no running time; give running_minutes.", field="running_minutes"
        )
    ends = ends_at(command.starts_at, running_minutes)
    seats = await store.layouts(tx, {room.auditorium.layout_id})
    planned = placed(
        room,
        TimeRange(command.starts_at, ends + CLEANING),
        ends,
        command.movie_id,
        (command.language or film["language"], command.subtitles),
        zone_prices(
            await store.price_cards(tx, room.theater),
            room,
            seats[room.auditorium.layout_id],
            command.starts_at,
            command.prices_cents,
        ),
    )
    planned = replace(planned, sales_close_minutes=command.sales_close_minutes)
    await _refuse_overlap(tx, room, planned)
    await publish_shows(
        tx,
        [planned],
        {room.auditorium.auditorium_id: room},
        {command.movie_id: film["title"]},
        seats,
    )
    after_it = _programme(planned) | {"prices_cents": planned.prices_cents}
    await audit_log.append(
        tx, [_entry(by, MoviesAuditAction.SHOW_SCHEDULED, planned, after=after_it)]
    )
    return planned.show_id


def placed(
    room: AuditoriumRow,
    taken: TimeRange,
    ends: datetime,
    movie_id: UUID,
    spoken: tuple[str, str | None],
    prices_cents: Mapping[str, int],
) -> Show:
    """A new show in a room; `spoken` is language and subtitles."""
    auditorium, theater = room.auditorium, room.theater
    return Show(
        show_id=clock.new_id(),
        region=theater.region,
        movie_id=movie_id,
        theater_id=theater.theater_id,
        auditorium_id=auditorium.auditorium_id,
        layout_id=auditorium.layout_id,
        starts_at=taken.starts_at,
        ends_at=ends,
        free_at=taken.free_at,
        local_date=theater.local(taken.starts_at).date(),
        format=auditorium.format,
        language=spoken[0],
        subtitles=spoken[1],
        currency=theater.currency,
        prices_cents=prices_cents,
        seat_count=auditorium.seat_count,
    )


def zone_prices(
    cards: PriceCards,
    room: AuditoriumRow,
    layout: Layout,
    starts_at: datetime,
    overrides: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """The price of each zone of a room at a time. Raises ShowUnfit."""
    part = daypart(room.theater.local(starts_at))
    card = cards.get((room.auditorium.format, part), {})
    zones = {seat.zone for seat in layout.seats}
    return priced(card, overrides, zones, room.theater.currency)


async def publish_shows(
    tx: Transaction,
    planned: Sequence[Show],
    rooms: Mapping[UUID, AuditoriumRow],
    titles: Mapping[UUID, str],
    layouts: Mapping[UUID, Layout],
) -> None:
    """Keep the shows and tell the others; overlaps are the caller's to refuse."""
    await store.add_shows(tx, planned)
    moment = clock.now()
    await outbox.append(
        tx,
        [
            _scheduled(
                show,
                rooms[show.auditorium_id],
                titles[show.movie_id],
                layouts[show.layout_id],
                moment,
            )
            for show in planned
        ],
    )


def _scheduled(
    show: Show, room: AuditoriumRow, title: str, layout: Layout, moment: datetime
) -> ShowScheduled:
    return ShowScheduled(
        event_id=clock.new_id(),
        occurred_at=moment,
        show_id=show.show_id,
        region=show.region,
        movie_id=show.movie_id,
        movie_title=title,
        theater_id=show.theater_id,
        theater_name=room.theater.name,
        city=room.theater.city,
        time_zone=room.theater.time_zone,
        auditorium_name=room.auditorium.name,
        starts_at=show.starts_at,
        ends_at=show.ends_at,
        format=show.format,
        language=show.spoken(),
        currency=show.currency,
        prices_cents=show.prices_cents,
        layout=layout,
        sales_close_minutes=show.sales_close_minutes,
    )


async def change_show(
    tx: Transaction, show_id: UUID, command: ChangeShow, by: Actor = SYSTEM
) -> None:
    """Raises NoSuchShow, ShowOver, ShowOverlaps or ShowUnfit. Changing nothing tells nobody."""
    show = await _open_show(tx, show_id, ShowTransition.EDIT)
    room = await _room(tx, show.auditorium_id)
    changed = show
    if command.starts_at is not None and command.starts_at != show.starts_at:
        await _refuse_odd_time(tx, command.starts_at)
        changed = moved(show, command.starts_at, room.theater)
        await _refuse_overlap(tx, room, changed)
    if command.prices_cents is not None:
        prices = priced(show.prices_cents, command.prices_cents, show.prices_cents, show.currency)
        changed = replace(changed, prices_cents=prices)
    if command.sales_close_minutes is not None:
        changed = replace(changed, sales_close_minutes=command.sales_close_minutes)
    if changed != show:
        await _save(tx, replace(changed, revision=show.revision + 1))
        await audit_log.append(tx, _changes(by, show, changed))


def moved(show: Show, starts_at: datetime, theater: Theater) -> Show:
    """The show at another time, as long as it was. It stays known when it was to start."""
    by = starts_at - show.starts_at
    announced_at = show.announced_at or show.starts_at
    return replace(
        show,
        announced_at=None if announced_at == starts_at else announced_at,
        starts_at=starts_at,
        ends_at=show.ends_at + by,
        free_at=show.free_at + by,
        local_date=theater.local(starts_at).date(),
    )


async def cancel_show(tx: Transaction, show_id: UUID, reason: str, by: Actor = SYSTEM) -> None:
    """Raises NoSuchShow or ShowOver."""
    await _cancel(tx, await _open_show(tx, show_id, ShowTransition.CANCEL), reason, by)


async def cancel_refunded(tx: Transaction, begun: Sequence[ShowRefundBegun]) -> None:
    """A show that booking gives back is off the programme, also one that has started."""
    for event in begun:
        show = await store.show(tx, event.show_id)
        if show is not None and ShowStatus(show.status) is ShowStatus.SCHEDULED:
            await _cancel(tx, show, event.reason, SYSTEM)


async def _cancel(tx: Transaction, show: Show, reason: str, by: Actor) -> None:
    cancelled = replace(
        show,
        status=after(ShowStatus(show.status), ShowTransition.CANCEL),
        cancel_reason=reason,
        revision=show.revision + 1,
    )
    assert await store.save_show(tx, cancelled), "a serializable transaction read another revision"
    event = ShowCancelled(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        show_id=show.show_id,
        region=show.region,
        reason=reason,
    )
    await outbox.append(tx, [event])
    entry = _entry(
        by,
        MoviesAuditAction.SHOW_CANCELLED,
        show,
        before={"status": show.status} | _programme(show),
        after={"status": cancelled.status},
        reason=reason,
    )
    await audit_log.append(tx, [entry])


def _changes(by: Actor, old: Show, new: Show) -> list[audit_log.Entry]:
    """One entry for each kind of change."""
    entries = []
    if new.starts_at != old.starts_at:
        before, after_it = _programme(old), _programme(new)
        entries.append(_entry(by, MoviesAuditAction.SHOW_MOVED, old, before=before, after=after_it))
    if new.prices_cents != old.prices_cents:
        before = {"prices_cents": old.prices_cents, "currency": old.currency}
        after_it = {"prices_cents": new.prices_cents, "currency": new.currency}
        entries.append(
            _entry(by, MoviesAuditAction.PRICES_CHANGED, old, before=before, after=after_it)
        )
    if new.sales_close_minutes != old.sales_close_minutes:
        before = {"sales_close_minutes": old.sales_close_minutes}
        after_it = {"sales_close_minutes": new.sales_close_minutes}
        entries.append(
            _entry(by, MoviesAuditAction.SALE_CHANGED, old, before=before, after=after_it)
        )
    return entries


def _programme(show: Show) -> dict[str, Any]:
    """What runs, where and when."""
    return {
        "movie_id": show.movie_id,
        "auditorium_id": show.auditorium_id,
        "starts_at": show.starts_at,
        "ends_at": show.ends_at,
    }


def _entry(
    by: Actor,
    action: MoviesAuditAction,
    show: Show,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> audit_log.Entry:
    return audit_log.Entry(
        actor=by,
        action=action,
        object_kind="show",
        object_id=show.show_id,
        before=before,
        after=after,
        reason=reason,
    )


async def change_theater(
    tx: Transaction, theater_id: UUID, command: ChangeTheater, by: Actor = SYSTEM
) -> None:
    """Raises NoSuchTheater. Changing nothing tells nobody."""
    before = await store.day_starts(tx, theater_id)
    if before is None:
        raise NoSuchTheater(theater_id=str(theater_id))
    if before == command.day_starts_minutes:
        return
    await store.set_day_starts(tx, theater_id, command.day_starts_minutes)
    entry = audit_log.Entry(
        actor=by,
        action=MoviesAuditAction.THEATER_CHANGED,
        object_kind="theater",
        object_id=theater_id,
        before={"day_starts_minutes": before},
        after={"day_starts_minutes": command.day_starts_minutes},
    )
    await audit_log.append(tx, [entry])


async def count_booked(tx: Transaction, events: Sequence[BookingConfirmed]) -> None:
    """Seats that are sold are no longer left."""
    await store.move_seats(tx, _seats_by_show(events))


async def count_cancelled(
    tx: Transaction, events: Sequence[BookingCancelled] | Sequence[BookingReduced]
) -> None:
    """Seats that were given back are left again, even if their booking is heard of later."""
    moved_by = _seats_by_show(events)
    await store.move_seats(tx, {key: -seats for key, seats in moved_by.items()})


def _seats_by_show(
    events: Iterable[BookingConfirmed | BookingCancelled | BookingReduced],
) -> Counter[tuple[str, UUID]]:
    seats: Counter[tuple[str, UUID]] = Counter()
    for event in events:
        seats[event.region, event.show_id] += len(event.seats)
    return seats


async def _room(tx: Transaction, auditorium_id: UUID) -> AuditoriumRow:
    rooms = await store.rooms(tx, auditorium_id, None)
    if not rooms:
        raise NoSuchAuditorium(auditorium_id=str(auditorium_id))
    return rooms[0]


async def _open_show(tx: Transaction, show_id: UUID, change: ShowTransition) -> Show:
    show = await store.show(tx, show_id)
    if show is None:
        raise NoSuchShow(show_id=str(show_id))
    after(ShowStatus(show.status), change)
    if show.starts_at <= await store.database_now(tx):
        raise ShowOver("The show has started.")
    return show


async def _refuse_odd_time(tx: Transaction, starts_at: datetime) -> None:
    now = await store.database_now(tx)
    if not now < starts_at <= now + PLAN_AHEAD_MAX:
        raise ShowUnfit(
            f"A show starts after now and within {PLAN_AHEAD_MAX.days} days.", field="starts_at"
        )
    if starts_at.second or starts_at.microsecond:
        raise ShowUnfit("A show starts on a full minute.", field="starts_at")


async def _refuse_overlap(tx: Transaction, room: AuditoriumRow, show: Show) -> None:
    """Two transactions that both find the room free cannot both commit: they are serializable."""
    wanted = TimeRange(show.starts_at, show.free_at)
    if wanted.free_at - wanted.starts_at > SHOW_LENGTH_MAX:
        raise ShowUnfit("A show takes at most 10 hours, cleaning included.", field="starts_at")
    for other in await store.taken(tx, room.auditorium, wanted, show.show_id):
        begins, ends = room.theater.local(other.starts_at), room.theater.local(other.free_at)
        raise ShowOverlaps(
            f"{room.auditorium.name} is taken from {begins:%H:%M} to {ends:%H:%M} on"
            f" {begins:%Y-%m-%d}, local time, cleaning included.",
            taken_from=other.starts_at.isoformat(),
            free_at=other.free_at.isoformat(),
        )


async def _save(tx: Transaction, changed: Show) -> None:
    assert await store.save_show(tx, changed), "a serializable transaction read another revision"
    event = ShowChanged(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        show_id=changed.show_id,
        region=changed.region,
        revision=changed.revision,
        starts_at=changed.starts_at,
        ends_at=changed.ends_at,
        prices_cents=changed.prices_cents,
        sales_close_minutes=changed.sales_close_minutes,
    )
    await outbox.append(tx, [event])
