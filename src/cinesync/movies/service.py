"""Commands over shows and theaters: schedule, change and cancel shows, and count seats."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from cinesync.chassis import audit_log, clock
from cinesync.chassis.audit_log import SYSTEM, Actor
from cinesync.chassis.database import Transaction, database_now
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
    daypart,
    film_end,
    next_status,
    price_zones,
)
from cinesync.movies.store import PriceCards, Venue

PLAN_AHEAD_MAX = timedelta(days=400)


async def schedule_show(tx: Transaction, command: ScheduleShow, by: Actor = SYSTEM) -> UUID:
    """Raises NoSuchMovie, NoSuchAuditorium, ShowOverlaps or ShowUnfit."""
    film = await movie_store.find_movie(tx, command.movie_id)
    if film is None:
        raise NoSuchMovie(movie_id=str(command.movie_id))
    venue = await _venue(tx, command.auditorium_id)
    await _check_start(tx, command.starts_at)
    running_minutes = command.running_minutes or film["running_minutes"]
    if running_minutes is None:
        raise ShowUnfit(
            f"{film['title']} has no running time; set running_minutes.", field="running_minutes"
        )
    ends_at = film_end(command.starts_at, running_minutes)
    layouts = await store.layouts(tx, {venue.auditorium.layout_id})
    show = new_show(
        venue,
        TimeRange(command.starts_at, ends_at + CLEANING),
        ends_at,
        command.movie_id,
        (command.language or film["language"], command.subtitles),
        zone_prices(
            await store.price_cards(tx, venue.theater),
            venue,
            layouts[venue.auditorium.layout_id],
            command.starts_at,
            command.prices_cents,
        ),
    )
    show = replace(show, sales_close_minutes=command.sales_close_minutes)
    await _refuse_overlap(tx, venue, show)
    titles = {command.movie_id: film["title"]}
    await publish_shows(tx, [show], {show.auditorium_id: venue}, titles, layouts)
    after = _schedule(show) | {"prices_cents": show.prices_cents}
    await audit_log.append(tx, [_entry(by, MoviesAuditAction.SHOW_SCHEDULED, show, after=after)])
    return show.show_id


def new_show(
    venue: Venue,
    taken: TimeRange,
    ends_at: datetime,
    movie_id: UUID,
    languages: tuple[str, str | None],
    prices_cents: Mapping[str, int],
) -> Show:
    """A new show; `languages` are those of sound and subtitles."""
    auditorium, theater = venue.auditorium, venue.theater
    return Show(
        show_id=clock.new_id(),
        region=theater.region,
        movie_id=movie_id,
        theater_id=theater.theater_id,
        auditorium_id=auditorium.auditorium_id,
        layout_id=auditorium.layout_id,
        starts_at=taken.starts_at,
        ends_at=ends_at,
        free_at=taken.free_at,
        local_date=theater.local(taken.starts_at).date(),
        format=auditorium.format,
        language=languages[0],
        subtitles=languages[1],
        currency=theater.currency,
        prices_cents=prices_cents,
        seat_count=auditorium.seat_count,
    )


def zone_prices(
    cards: PriceCards,
    venue: Venue,
    layout: Layout,
    starts_at: datetime,
    overrides: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """The price of each zone of an auditorium at a time. Raises ShowUnfit."""
    part = daypart(venue.theater.local(starts_at))
    card = cards.get((venue.auditorium.format, part), {})
    zones = {seat.zone for seat in layout.seats}
    return price_zones(card, overrides, zones, venue.theater.currency)


async def publish_shows(
    tx: Transaction,
    shows: Sequence[Show],
    venues: Mapping[UUID, Venue],
    titles: Mapping[UUID, str],
    layouts: Mapping[UUID, Layout],
) -> None:
    """Insert shows and emit their events. The caller has checked that they do not overlap."""
    await store.add_shows(tx, shows)
    now = clock.now()
    events = [
        _scheduled(
            show,
            venues[show.auditorium_id],
            titles[show.movie_id],
            layouts[show.layout_id],
            now,
        )
        for show in shows
    ]
    await outbox.append(tx, events)


def _scheduled(
    show: Show, venue: Venue, title: str, layout: Layout, now: datetime
) -> ShowScheduled:
    return ShowScheduled(
        event_id=clock.new_id(),
        occurred_at=now,
        show_id=show.show_id,
        region=show.region,
        movie_id=show.movie_id,
        movie_title=title,
        theater_id=show.theater_id,
        theater_name=venue.theater.name,
        city=venue.theater.city,
        time_zone=venue.theater.time_zone,
        auditorium_name=venue.auditorium.name,
        starts_at=show.starts_at,
        ends_at=show.ends_at,
        format=show.format,
        language=show.language_label(),
        currency=show.currency,
        prices_cents=show.prices_cents,
        layout=layout,
        sales_close_minutes=show.sales_close_minutes,
    )


async def change_show(
    tx: Transaction, show_id: UUID, command: ChangeShow, by: Actor = SYSTEM
) -> None:
    """A change that changes nothing emits no event.

    Raises NoSuchShow, ShowOver, ShowOverlaps or ShowUnfit.
    """
    show = await _open_show(tx, show_id, ShowTransition.EDIT)
    venue = await _venue(tx, show.auditorium_id)
    changed = show
    if command.starts_at is not None and command.starts_at != show.starts_at:
        await _check_start(tx, command.starts_at)
        changed = move(show, command.starts_at, venue.theater)
        await _refuse_overlap(tx, venue, changed)
    if command.prices_cents is not None:
        old = show.prices_cents
        prices = price_zones(old, command.prices_cents, old, show.currency)
        changed = replace(changed, prices_cents=prices)
    if command.sales_close_minutes is not None:
        changed = replace(changed, sales_close_minutes=command.sales_close_minutes)
    if changed != show:
        await _save(tx, replace(changed, revision=show.revision + 1))
        await audit_log.append(tx, _changes(by, show, changed))


def move(show: Show, starts_at: datetime, theater: Theater) -> Show:
    """The show at another time, of the same length. `announced_at` keeps its first start."""
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
    """Cancel shows whose bookings are all refunded, also those that have started."""
    for event in begun:
        show = await store.show(tx, event.show_id)
        if show is not None and ShowStatus(show.status) is ShowStatus.SCHEDULED:
            await _cancel(tx, show, event.reason, SYSTEM)


async def _cancel(tx: Transaction, show: Show, reason: str, by: Actor) -> None:
    cancelled = replace(
        show,
        status=next_status(ShowStatus(show.status), ShowTransition.CANCEL),
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
        before={"status": show.status} | _schedule(show),
        after={"status": cancelled.status},
        reason=reason,
    )
    await audit_log.append(tx, [entry])


def _changes(by: Actor, old: Show, new: Show) -> list[audit_log.Entry]:
    """One entry for each kind of change."""
    entries = []
    if new.starts_at != old.starts_at:
        before, after = _schedule(old), _schedule(new)
        entries.append(_entry(by, MoviesAuditAction.SHOW_MOVED, old, before=before, after=after))
    if new.prices_cents != old.prices_cents:
        before = {"prices_cents": old.prices_cents, "currency": old.currency}
        after = {"prices_cents": new.prices_cents, "currency": new.currency}
        action = MoviesAuditAction.PRICES_CHANGED
        entries.append(_entry(by, action, old, before=before, after=after))
    if new.sales_close_minutes != old.sales_close_minutes:
        before = {"sales_close_minutes": old.sales_close_minutes}
        after = {"sales_close_minutes": new.sales_close_minutes}
        entries.append(_entry(by, MoviesAuditAction.SALE_CHANGED, old, before=before, after=after))
    return entries


def _schedule(show: Show) -> dict[str, Any]:
    """The film, the auditorium and the times of a show."""
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
    """A change that changes nothing is not logged. Raises NoSuchTheater."""
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
    """Add to the seats that are taken."""
    await store.add_seats_taken(tx, _seats_by_show(events))


async def count_cancelled(
    tx: Transaction, events: Sequence[BookingCancelled] | Sequence[BookingReduced]
) -> None:
    """Subtract from the seats that are taken; the booking's own event may come later."""
    cancelled = _seats_by_show(events)
    await store.add_seats_taken(tx, {key: -seats for key, seats in cancelled.items()})


def _seats_by_show(
    events: Iterable[BookingConfirmed | BookingCancelled | BookingReduced],
) -> Counter[tuple[str, UUID]]:
    seats: Counter[tuple[str, UUID]] = Counter()
    for event in events:
        seats[event.region, event.show_id] += len(event.seats)
    return seats


async def _venue(tx: Transaction, auditorium_id: UUID) -> Venue:
    venues = await store.venues(tx, auditorium_id, None)
    if not venues:
        raise NoSuchAuditorium(auditorium_id=str(auditorium_id))
    return venues[0]


async def _open_show(tx: Transaction, show_id: UUID, transition: ShowTransition) -> Show:
    show = await store.show(tx, show_id)
    if show is None:
        raise NoSuchShow(show_id=str(show_id))
    next_status(ShowStatus(show.status), transition)
    if show.starts_at <= await database_now(tx):
        raise ShowOver("The show has started.")
    return show


async def _check_start(tx: Transaction, starts_at: datetime) -> None:
    now = await database_now(tx)
    if not now < starts_at <= now + PLAN_AHEAD_MAX:
        raise ShowUnfit(
            f"A show starts after now and within {PLAN_AHEAD_MAX.days} days.", field="starts_at"
        )
    if starts_at.second or starts_at.microsecond:
        raise ShowUnfit("A show starts on a full minute.", field="starts_at")


async def _refuse_overlap(tx: Transaction, venue: Venue, show: Show) -> None:
    """Of two transactions that both find the time free, one fails: they are serializable."""
    time_range = TimeRange(show.starts_at, show.free_at)
    if time_range.free_at - time_range.starts_at > SHOW_LENGTH_MAX:
        raise ShowUnfit("A show takes at most 10 hours, cleaning included.", field="starts_at")
    for other in await store.taken(tx, venue.auditorium, time_range, show.show_id):
        begins, ends = venue.theater.local(other.starts_at), venue.theater.local(other.free_at)
        raise ShowOverlaps(
            f"{venue.auditorium.name} is taken from {begins:%H:%M} to {ends:%H:%M} on"
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
