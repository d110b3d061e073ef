"""Figures out of databases: counted now and then, and one that fails leaves the others alone."""

import pytest
from prometheus_client import REGISTRY, Gauge

from cinesync.chassis import clock
from cinesync.chassis.database import Database
from cinesync.chassis.database.gauges import Collector, Labelled, of_database
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.inbox import insert_dead_letter
from tests.conftest import MakeDatabase
from tests.integration.chassis.toy.app import take_note


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("tests.integration.chassis.toy")


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


async def test_outbox_dead_letters_and_pool_are_counted(db: Database) -> None:
    collector = Collector(of_database("measured", db))
    assert await collector.collect()
    assert sample("cinesync_outbox_events", service="measured") == 0
    assert sample("cinesync_outbox_oldest_seconds", service="measured") == 0
    await db.run(take_note, clock.new_id(), "hi")
    message = Message(clock.new_id(), "note.taken", b"{}")
    await db.run(insert_dead_letter, "measured.note.taken", message, "no")
    assert await collector.collect()
    assert sample("cinesync_outbox_events", service="measured") == 1
    assert (sample("cinesync_outbox_oldest_seconds", service="measured") or 0) > 0
    assert sample("cinesync_dead_letters", queue="measured.note.taken") == 1
    assert sample("cinesync_database_connections_in_use", service="measured") == 0
    assert (sample("cinesync_database_connections_max", service="measured") or 0) >= 2


async def test_what_cannot_be_measured_leaves_the_others_alone() -> None:
    measured: list[str] = []

    async def fails() -> None:
        raise ConnectionError("away")

    async def works() -> None:
        measured.append("worked")

    assert not await Collector([fails, works]).collect()
    assert measured == ["worked"]


def test_what_is_not_there_any_more_is_zero() -> None:
    one = Labelled(Gauge("test_labelled", "Of a test.", ["kind"]))
    one.replace({("a",): 1.0, ("b",): 2.0})
    one.replace({("b",): 3.0})
    assert sample("test_labelled", kind="a") == 0
    assert sample("test_labelled", kind="b") == 3
