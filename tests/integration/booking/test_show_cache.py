"""What a process keeps of what it read is never older than the database."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

import pytest
from cachetools import LRUCache

from cinesync.booking import event_handlers, show_store, store
from cinesync.booking.model import Show, ShowIsOff
from cinesync.chassis.database import Transaction
from tests.support.booking import BoxOffice, called_off, changed, scheduled, wish


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


async def test_a_show_is_read_once(office: BoxOffice, reads: list[set[UUID]]) -> None:
    known, other = await office.schedule(scheduled()), await office.schedule(scheduled())
    await office.hold(known, best=1)
    await office.hold(known, best=1)
    await office.try_hold(wish(known, best=1), wish(other, best=1))
    assert reads == [{known.show_id}, {other.show_id}]


async def test_a_changed_show_is_read_again(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    await office.hold(show, best=1)
    change = changed(show, 1, prices_cents=dict.fromkeys(show.prices_cents, 4_321))
    await office.db.run(event_handlers.change_shows, [change])
    booking = await office.hold(show, best=1)
    assert booking.total_cents == 4_321


async def test_a_cancelled_show_is_read_again(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())
    await office.hold(show, best=1)
    await office.db.run(event_handlers.cancel_shows, [called_off(show)])
    [answer] = await office.try_hold(wish(show, best=1))
    assert isinstance(answer, ShowIsOff)


async def test_a_kept_show_is_of_the_moment_it_is_sold(office: BoxOffice) -> None:
    show = await office.schedule(scheduled())

    async def look(tx: Transaction) -> tuple[datetime, datetime]:
        [sale] = await store.sales_of(tx, [show.show_id])
        return sale.read_at, (await office.kept.shows(tx, [sale]))[show.show_id].read_at

    for _ in range(2):
        now, read_at = await office.db.read(look)
        assert now == read_at


async def test_no_more_shows_are_kept_than_room_is_for(
    office: BoxOffice, reads: list[set[UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(office.kept, "_shows", LRUCache(1))
    first, second = await office.schedule(scheduled()), await office.schedule(scheduled())
    for show in (first, second, second, first):
        await office.hold(show, best=1)
    assert reads == [{first.show_id}, {second.show_id}, {first.show_id}]
