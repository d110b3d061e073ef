"""Managers schedule, move and cancel shows; bookings are counted."""

import asyncio
import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from cinesync.chassis import audit_log, clock
from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.messaging.event import Event, decode
from cinesync.contracts.booking import BookingCancelled, BookingConfirmed, ShowRefundBegun
from cinesync.contracts.movies import ShowCancelled, ShowChanged, ShowScheduled
from cinesync.movies import catalog_store, movie_service, service, store
from cinesync.movies.demo.floor_plans import layout
from cinesync.movies.model import (
    CancelShow,
    ChangeShow,
    Movie,
    NoSuchAuditorium,
    NoSuchMovie,
    NoSuchShow,
    ScheduleShow,
    ShowOver,
    ShowOverlaps,
    ShowUnfit,
)
from cinesync.movies.schemas import ShowView
from tests.support.portability.profile import Profile


async def _first(tx: Transaction, statement: str) -> Any:
    return (await tx.execute(text(statement))).scalar_one()


async def _events(tx: Transaction, name: str) -> list[bytes]:
    rows = await tx.execute(
        text("SELECT body FROM outbox WHERE name = CAST(:name AS text) ORDER BY occurred_at ASC"),
        {"name": name},
    )
    return [bytes(row.body) for row in rows]


async def last_event(db: Database, kind: type[Event]) -> Any:
    return decode(kind, (await db.read(_events, kind.name))[-1])


async def view(db: Database, show_id: UUID) -> ShowView:
    found = await db.read(catalog_store.show, show_id)
    assert found is not None
    return found


@pytest.fixture
async def plan(chain: Database, tomorrow: date) -> ScheduleShow:
    """A show on a day without other shows."""
    evening = datetime(tomorrow.year, tomorrow.month, tomorrow.day, 20, tzinfo=UTC)
    paris = "SELECT auditorium_id FROM auditoriums WHERE name = 'Salle Mistral'"
    wizard = "SELECT movie_id FROM events WHERE title = 'The Wizard of Oz'"
    return ScheduleShow(
        movie_id=await chain.read(_first, wizard),
        auditorium_id=await chain.read(_first, paris),
        starts_at=evening + timedelta(days=10),
    )


async def test_a_new_show_is_announced_with_all_that_booking_needs(
    chain: Database, plan: ScheduleShow
) -> None:
    show_id = await chain.run(service.schedule_show, plan)
    show = await view(chain, show_id)
    event: ShowScheduled = await last_event(chain, ShowScheduled)
    assert (event.show_id, event.movie_title) == (show_id, "The Wizard of Oz")
    assert (event.theater_name, event.city, event.time_zone) == (
        "Le Grand Mistral",
        "Paris",
        "Europe/Paris",
    )
    assert event.ends_at - event.starts_at == timedelta(minutes=103 + 15)
    assert event.prices_cents == show.prices_cents
    assert event.prices_cents.keys() == {seat.zone for seat in event.layout.seats}
    assert len(event.layout.seats) == show.seat_count == show.seats_left
    stored = (await chain.read(store.layouts, {show.layout_id}))[show.layout_id]
    assert event.layout.layout_id == stored.layout_id == show.layout_id
    assert (
        list(event.layout.seats)
        == list(stored.seats)
        == list(layout("balcony", mirrored=True).seats)
    )
    assert show.local_time == "21:00"


async def test_a_show_may_set_its_own_language_prices_and_length(
    chain: Database, plan: ScheduleShow
) -> None:
    own = msgspec.structs.replace(
        plan, running_minutes=60, language="fr", subtitles="ar", prices_cents={"front": 1}
    )
    show = await view(chain, await chain.run(service.schedule_show, own))
    assert show.ends_at - show.starts_at == timedelta(minutes=75)
    assert (show.language, show.subtitles, show.price_from_cents) == ("fr", "ar", 1)
    event: ShowScheduled = await last_event(chain, ShowScheduled)
    assert event.language == "fr (subtitles ar)"


async def test_a_show_needs_a_film_an_auditorium_and_a_possible_time(
    chain: Database, plan: ScheduleShow
) -> None:
    nowhere = UUID(int=1)
    past = clock.now().replace(second=0, microsecond=0) - timedelta(hours=1)
    change = msgspec.structs.replace
    for command, problem in (
        (change(plan, movie_id=nowhere), NoSuchMovie),
        (change(plan, auditorium_id=nowhere), NoSuchAuditorium),
        (change(plan, starts_at=past), ShowUnfit),
        (change(plan, starts_at=past + timedelta(days=1000)), ShowUnfit),
        (change(plan, starts_at=datetime(9999, 12, 31, 23, 59, tzinfo=UTC)), ShowUnfit),
        (change(plan, starts_at=plan.starts_at + timedelta(seconds=1)), ShowUnfit),
        (change(plan, running_minutes=600), ShowUnfit),
        (change(plan, prices_cents={"vip": 100}), ShowUnfit),
    ):
        with pytest.raises(problem):
            await chain.run(service.schedule_show, command)


async def test_a_film_without_running_time_needs_one_in_the_command(
    chain: Database, plan: ScheduleShow
) -> None:
    await chain.run(movie_service.add_missing_movies, [Movie(title="Lost Reel")])
    lost = "SELECT movie_id FROM events WHERE title = 'Lost Reel'"
    command = msgspec.structs.replace(plan, movie_id=await chain.read(_first, lost))
    with pytest.raises(ShowUnfit, match="set running_minutes"):
        await chain.run(service.schedule_show, command)


async def test_an_auditorium_is_taken_until_it_is_clean(
    chain: Database, plan: ScheduleShow
) -> None:
    await chain.run(service.schedule_show, plan)
    busy = timedelta(minutes=15 + 103 + 20)
    for offset in (timedelta(), busy - timedelta(minutes=1), -busy + timedelta(minutes=1)):
        command = msgspec.structs.replace(plan, starts_at=plan.starts_at + offset)
        with pytest.raises(ShowOverlaps, match=r"Salle Mistral is taken from 21:00 to 23:18"):
            await chain.run(service.schedule_show, command)
    for offset in (busy, -busy):
        command = msgspec.structs.replace(plan, starts_at=plan.starts_at + offset)
        await chain.run(service.schedule_show, command)


async def _race(db: Database, plan: ScheduleShow) -> list[UUID]:
    """Two managers schedule shows in one auditorium, at once and at overlapping times."""
    rivals = [plan, msgspec.structs.replace(plan, starts_at=plan.starts_at + timedelta(hours=1))]
    outcomes = await asyncio.gather(
        *(db.run(service.schedule_show, rival) for rival in rivals), return_exceptions=True
    )
    assert all(isinstance(o, UUID | ShowOverlaps) for o in outcomes), outcomes
    return [outcome for outcome in outcomes if isinstance(outcome, UUID)]


async def test_two_managers_never_get_one_auditorium_at_overlapping_times(
    chain: Database, plan: ScheduleShow
) -> None:
    for day in range(5):
        starts_at = plan.starts_at + timedelta(days=day)
        assert len(await _race(chain, msgspec.structs.replace(plan, starts_at=starts_at))) == 1


async def test_without_serializable_transactions_two_managers_get_one_auditorium(
    chain: Database,
    plan: ScheduleShow,
    monkeypatch: pytest.MonkeyPatch,
    cockroachdb_profile: Profile,
) -> None:
    """Both check before either has committed; a weaker isolation level commits both."""
    both_looked = asyncio.Barrier(2)
    look = store.taken

    async def look_and_wait(tx: Transaction, *args: Any) -> Any:
        found = await look(tx, *args)
        await both_looked.wait()
        return found

    monkeypatch.setattr(store, "taken", look_and_wait)
    weak = Database(chain.pool, chain.url, isolation="read_committed")
    async with asyncio.timeout(10):
        assert len(await _race(weak, plan)) == 2
    assert all("not serializable" in complaint for complaint in cockroachdb_profile.broken)
    cockroachdb_profile.broken.clear()


async def test_a_moved_show_is_announced_with_the_next_revision(
    chain: Database, plan: ScheduleShow
) -> None:
    show_id = await chain.run(service.schedule_show, plan)
    later = plan.starts_at + timedelta(hours=4)
    await chain.run(service.change_show, show_id, ChangeShow(starts_at=later))
    event: ShowChanged = await last_event(chain, ShowChanged)
    show = await view(chain, show_id)
    assert (event.show_id, event.revision, event.starts_at) == (show_id, 2, later)
    assert (show.revision, show.starts_at, show.local_time) == (2, later, "01:00")
    assert show.local_date == plan.starts_at.date() + timedelta(days=1)
    await chain.run(service.change_show, show_id, ChangeShow(prices_cents={"front": 5}))
    event = await last_event(chain, ShowChanged)
    assert (event.revision, event.prices_cents["front"]) == (3, 5)
    assert event.starts_at == later


async def test_a_moved_show_has_its_first_time_until_it_is_back(
    chain: Database, plan: ScheduleShow
) -> None:
    show_id = await chain.run(service.schedule_show, plan)
    assert (await view(chain, show_id)).announced_at is None
    for hours, announced_at in ((2, plan.starts_at), (4, plan.starts_at), (0, None)):
        change = ChangeShow(starts_at=plan.starts_at + timedelta(hours=hours))
        await chain.run(service.change_show, show_id, change)
        assert (await view(chain, show_id)).announced_at == announced_at


async def test_a_show_may_close_its_sale_by_its_own_rule(
    chain: Database, plan: ScheduleShow
) -> None:
    early = msgspec.structs.replace(plan, sales_close_minutes=-60)
    show_id = await chain.run(service.schedule_show, early)
    scheduled: ShowScheduled = await last_event(chain, ShowScheduled)
    assert scheduled.sales_close_minutes == -60
    await chain.run(service.change_show, show_id, ChangeShow(sales_close_minutes=0))
    await chain.run(service.change_show, show_id, ChangeShow(prices_cents={"front": 5}))
    changed: ShowChanged = await last_event(chain, ShowChanged)
    assert (changed.revision, changed.sales_close_minutes) == (3, 0)
    entries = await chain.run_one(audit_log.page, audit_log.Filter(action="show.sale_changed"))
    assert entries[0].after == {"sales_close_minutes": 0}


async def test_a_change_that_changes_nothing_emits_no_event(
    chain: Database, plan: ScheduleShow
) -> None:
    show_id = await chain.run(service.schedule_show, plan)
    await chain.run(service.change_show, show_id, ChangeShow(starts_at=plan.starts_at))
    assert await chain.read(_events, ShowChanged.name) == []


async def test_a_show_moves_within_its_own_time_but_not_into_another(
    chain: Database, plan: ScheduleShow
) -> None:
    show_id = await chain.run(service.schedule_show, plan)
    after = msgspec.structs.replace(plan, starts_at=plan.starts_at + timedelta(hours=3))
    await chain.run(service.schedule_show, after)
    soon = ChangeShow(starts_at=plan.starts_at + timedelta(minutes=30))
    await chain.run(service.change_show, show_id, soon)
    late = ChangeShow(starts_at=plan.starts_at + timedelta(hours=2))
    with pytest.raises(ShowOverlaps):
        await chain.run(service.change_show, show_id, late)
    with pytest.raises(ShowUnfit, match="no zone vip"):
        await chain.run(service.change_show, show_id, ChangeShow(prices_cents={"vip": 1}))


async def test_a_cancelled_show_is_announced_once_and_its_time_is_free(
    chain: Database, plan: ScheduleShow
) -> None:
    show_id = await chain.run(service.schedule_show, plan)
    await chain.run(service.cancel_show, show_id, "The projector broke.")
    event: ShowCancelled = await last_event(chain, ShowCancelled)
    assert (event.show_id, event.reason) == (show_id, "The projector broke.")
    show = await view(chain, show_id)
    assert (show.status, show.cancel_reason) == ("cancelled", "The projector broke.")
    with pytest.raises(ShowOver, match="cancelled already"):
        await chain.run(service.cancel_show, show_id, "again")
    with pytest.raises(ShowOver):
        await chain.run(service.change_show, show_id, ChangeShow(prices_cents={"front": 1}))
    assert await chain.run(service.schedule_show, plan) != show_id


async def test_a_show_that_has_started_stays_as_it_is(chain: Database, plan: ScheduleShow) -> None:
    show_id = await chain.run(service.schedule_show, plan)

    async def begin(tx: Transaction) -> None:
        statement = "UPDATE shows SET starts_at = now() WHERE show_id = CAST(:id AS uuid)"
        await tx.execute(text(statement), {"id": show_id})

    await chain.run(begin)
    with pytest.raises(ShowOver, match="has started"):
        await chain.run(service.cancel_show, show_id, "too late")
    with pytest.raises(NoSuchShow):
        await chain.run(service.cancel_show, UUID(int=1), "nothing")
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode('{"reason": ""}', type=CancelShow)


@pytest.mark.parametrize("starts_in_minutes", [-30, 30])
async def test_a_refunded_show_is_cancelled_once_also_while_it_runs(
    chain: Database, plan: ScheduleShow, starts_in_minutes: int
) -> None:
    show_id = await chain.run(service.schedule_show, plan)

    async def move(tx: Transaction) -> None:
        statement = (
            "UPDATE shows SET starts_at = now() + CAST(:minutes AS bigint) * interval '1 minute'"
            " WHERE show_id = CAST(:id AS uuid)"
        )
        await tx.execute(text(statement), {"id": show_id, "minutes": starts_in_minutes})

    await chain.run(move)
    region = (await view(chain, show_id)).region
    for of in (show_id, show_id, UUID(int=1)):
        begun = ShowRefundBegun(
            event_id=clock.new_id(),
            occurred_at=clock.now(),
            show_id=of,
            region=region,
            reason="The projector broke.",
        )
        await chain.run(service.cancel_refunded, [begun])
    show = await view(chain, show_id)
    assert (show.status, show.cancel_reason) == ("cancelled", "The projector broke.")
    assert len(await chain.read(_events, ShowCancelled.name)) == 1
    [entry] = await chain.run_one(audit_log.page, audit_log.Filter(action="show.cancelled"))
    assert (entry.actor_role, entry.reason) == ("system", "The projector broke.")


def _booked(show: ShowView, seats: int) -> BookingConfirmed:
    return BookingConfirmed(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        booking_id=clock.new_id(),
        payment_id=clock.new_id(),
        customer_id=clock.new_id(),
        show_id=show.show_id,
        region=show.region,
        seats=[f"A{n}" for n in range(seats)],
        total_cents=100,
        currency=show.currency,
        late=False,
    )


def _cancelled(booked: BookingConfirmed) -> BookingCancelled:
    return BookingCancelled(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        booking_id=booked.booking_id,
        payment_id=booked.payment_id,
        customer_id=booked.customer_id,
        show_id=booked.show_id,
        region=booked.region,
        seats=booked.seats,
        refund_cents=100,
        currency=booked.currency,
        reason="customer",
    )


async def test_seats_left_are_counted_in_any_order_of_events(
    chain: Database, plan: ScheduleShow
) -> None:
    show = await view(chain, await chain.run(service.schedule_show, plan))
    bookings = [_booked(show, seats) for seats in (1, 2, 3, 4)]
    events: list[BookingConfirmed | BookingCancelled] = [
        *bookings,
        *map(_cancelled, bookings[:2]),
    ]
    random.Random(1).shuffle(events)
    for event in events:
        if isinstance(event, BookingConfirmed):
            await chain.run(service.count_booked, [event])
        else:
            await chain.run(service.count_cancelled, [event])
    assert (await view(chain, show.show_id)).seats_left == show.seat_count - 7


async def test_a_batch_counts_every_show_and_booking(chain: Database, plan: ScheduleShow) -> None:
    one = await view(chain, await chain.run(service.schedule_show, plan))
    next_day = msgspec.structs.replace(plan, starts_at=plan.starts_at + timedelta(days=1))
    other = await view(chain, await chain.run(service.schedule_show, next_day))
    await chain.run(service.count_booked, [_booked(one, 2), _booked(other, 1), _booked(one, 3)])
    assert (await view(chain, one.show_id)).seats_left == one.seat_count - 5
    assert (await view(chain, other.show_id)).seats_left == other.seat_count - 1


async def test_a_cancellation_before_its_booking_adds_no_seats(
    chain: Database, plan: ScheduleShow
) -> None:
    show = await view(chain, await chain.run(service.schedule_show, plan))
    booked = _booked(show, 2)
    await chain.run(service.count_cancelled, [_cancelled(booked)])
    assert (await view(chain, show.show_id)).seats_left == show.seat_count
    await chain.run(service.count_booked, [booked])
    assert (await view(chain, show.show_id)).seats_left == show.seat_count
    await chain.run(service.count_booked, [])
