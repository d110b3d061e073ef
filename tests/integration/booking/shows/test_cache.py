"""Cached shows are never older than the database."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

import pytest

from cinesync.booking import seat_store
from cinesync.booking.model import Show, ShowIsOff
from cinesync.booking.show_changes import service as show_changes
from cinesync.booking.shows import cache
from cinesync.booking.shows import store as show_store
from cinesync.booking.shows.cache import ShowCache
from cinesync.chassis.database import Transaction
from tests.support.booking import BookingHarness, called_off, changed, hold_command, scheduled


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[set[UUID]]:
    """The shows that were read, read by read."""
    made: list[set[UUID]] = []
    find = show_store.find_shows

    async def find_and_note(tx: Transaction, show_ids: Iterable[UUID]) -> Mapping[UUID, Show]:
        made.append(set(show_ids))
        return await find(tx, made[-1])

    monkeypatch.setattr(show_store, "find_shows", find_and_note)
    return made


async def test_a_show_is_read_once(harness: BookingHarness, reads: list[set[UUID]]) -> None:
    known, other = await harness.schedule(scheduled()), await harness.schedule(scheduled())
    await harness.hold(known, best=1)
    await harness.hold(known, best=1)
    await harness.try_hold(hold_command(known, best=1), hold_command(other, best=1))
    assert reads == [{known.show_id}, {other.show_id}]


async def test_a_changed_show_is_read_again(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    await harness.hold(show, best=1)
    change = changed(show, 1, prices_cents=dict.fromkeys(show.prices_cents, 4_321))
    await harness.db.run(show_changes.change_shows, [change])
    booking = await harness.hold(show, best=1)
    assert booking.total_cents == 4_321


async def test_a_cancelled_show_is_read_again(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())
    await harness.hold(show, best=1)
    await harness.db.run(show_changes.cancel_shows, [called_off(show)])
    [answer] = await harness.try_hold(hold_command(show, best=1))
    assert isinstance(answer, ShowIsOff)


async def test_a_cached_show_has_the_time_of_its_sale(harness: BookingHarness) -> None:
    show = await harness.schedule(scheduled())

    async def look(tx: Transaction) -> tuple[datetime, datetime]:
        [sale] = await seat_store.sales_of(tx, [show.show_id])
        return sale.read_at, (await harness.show_cache.shows(tx, [sale]))[show.show_id].read_at

    for _ in range(2):
        now, read_at = await harness.db.read(look)
        assert now == read_at


async def test_the_cache_is_bounded(
    harness: BookingHarness, reads: list[set[UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SHOWS_MAX", 1)
    harness.show_cache = ShowCache()
    first, second = await harness.schedule(scheduled()), await harness.schedule(scheduled())
    for show in (first, second, second, first):
        await harness.hold(show, best=1)
    assert reads == [{first.show_id}, {second.show_id}, {first.show_id}]
