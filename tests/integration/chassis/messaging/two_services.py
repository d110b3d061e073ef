"""Two services with a bus between them: one emits events, the other consumes them."""

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg
import pytest

from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, migrations, open_database, text
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.bus import Bus, EmbeddedBus
from cinesync.chassis.messaging.dead_letters import DatabaseDeadLetters, DeadLetters
from cinesync.chassis.messaging.event import Event, Message, encode
from cinesync.chassis.messaging.inbox import EventHandler, Inbox
from cinesync.chassis.messaging.outbox import Relay
from cinesync.chassis.messaging.rabbitmq.bus import RabbitMqBus
from cinesync.chassis.messaging.rabbitmq.dead_letters import BrokerDeadLetters
from cinesync.supervisor.postgres import Postgres
from tests.support.eventually import SECONDS_MAX, eventually
from tests.support.places import ROOT
from tests.support.rabbitmq_server import RabbitMqServer

BUS_KINDS = ["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)]
DELIVERIES_MAX = 3

EFFECTS_DDL = (
    "CREATE TABLE IF NOT EXISTS effects ("
    " effect_id UUID PRIMARY KEY, event_id UUID NOT NULL, amount BIGINT NOT NULL)"
)

_numbers = itertools.count()


class Paid(Event, frozen=True, kw_only=True, tag="test.paid"):
    """Somebody paid."""

    amount: int


class Seen(Event, frozen=True, kw_only=True, tag="test.seen"):
    """Somebody looked; nobody has to care."""

    amount: int


class Poison(Exception):
    """No handler can digest this."""


def paid(amount: int) -> Paid:
    """A new event."""
    return Paid(event_id=clock.new_id(), occurred_at=clock.now(), amount=amount)


def seen(amount: int) -> Seen:
    """A new event."""
    return Seen(event_id=clock.new_id(), occurred_at=clock.now(), amount=amount)


def message(event: Event) -> Message:
    """`event` as it travels."""
    return Message(event.event_id, event.name, encode(event))


async def record(tx: Transaction, events: Sequence[Paid]) -> None:
    """The effect: one row an event, and no key that would forbid a second one."""
    if any(event.amount < 0 for event in events):
        raise Poison
    statement = text(
        "INSERT INTO effects (effect_id, event_id, amount)"
        " SELECT t.effect_id, t.event_id, t.amount FROM unnest(CAST(:effect_ids AS uuid[]),"
        " CAST(:event_ids AS uuid[]), CAST(:amounts AS bigint[])) AS t(effect_id, event_id, amount)"
    )
    parameters = {
        "effect_ids": [clock.new_id() for _ in events],
        "event_ids": [event.event_id for event in events],
        "amounts": [event.amount for event in events],
    }
    await tx.execute(statement, parameters)


async def select_effects(tx: Transaction) -> list[UUID]:
    """The event of every effect."""
    rows = await tx.execute(text("SELECT event_id FROM effects"))
    return [row.event_id for row in rows]


async def select_unsent(tx: Transaction) -> list[UUID]:
    """What no bus has taken."""
    return [m.event_id for m in await outbox.unsent(tx, 10_000)]


@dataclass
class TwoServices:
    """The databases of both, and as many buses between them as a test wants."""

    emitter_db: Database
    consumer_db: Database
    broker: RabbitMqServer | None
    consumer_name: str
    exchange: str
    broker_url: str | None = None
    shop_id: str = ""
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)

    @property
    def queue(self) -> str:
        """The name of the consumer's queue."""
        return f"{self.consumer_name}.{Paid.name}"

    def make_bus(
        self, *, prefetch: int = 100, consumers: Mapping[str, Sequence[str]] | None = None
    ) -> Bus:
        """Another bus, as another process would have it; not started."""
        if self.broker_url is None:
            return EmbeddedBus(deliveries_max=DELIVERIES_MAX)
        return RabbitMqBus(
            self.broker_url,
            exchange=self.exchange,
            shop=self.shop_id,
            deliveries_max=DELIVERIES_MAX,
            prefetch=prefetch,
            consumers=consumers,
        )

    def inbox(self, handler: EventHandler = record, *, service: str | None = None) -> Inbox:
        """The consumer's inbox, or that of another `service` on the same database."""
        return Inbox(service or self.consumer_name, Paid, handler, self.consumer_db)

    async def open_bus(self, handler: EventHandler = record, *, prefetch: int = 100) -> Bus:
        """A running bus that delivers to the consumer; closed at the end of the test."""
        bus = self.make_bus(prefetch=prefetch)
        bus.subscribe(self.inbox(handler))
        await self.start(bus)
        return bus

    async def start(self, bus: Bus) -> None:
        """Start `bus`, wait until it can deliver, and close it with the services."""
        await bus.start()
        self._stack.push_async_callback(bus.close)

        async def is_well() -> bool:
            return bus.trouble() is None

        await eventually(is_well)

    def relay(self, bus: Bus) -> None:
        """Relay the emitter's outbox to `bus` until the end of the test."""
        self._run_relay(Relay("emitter", self.emitter_db, bus, "test"))

    def relay_consumer(self, bus: Bus) -> None:
        """Relay the consumer's outbox as well: replayed letters pass through it."""
        self._run_relay(Relay(self.consumer_name, self.consumer_db, bus, "test"))

    def _run_relay(self, relay: Relay) -> None:
        task = asyncio.create_task(relay.run())

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._stack.push_async_callback(stop)

    async def emit(self, events: Sequence[Event]) -> None:
        """Commit `events` in the emitter."""
        await self.emitter_db.run(outbox.append, events)

    async def effects(self) -> list[UUID]:
        """The event of every effect in the consumer."""
        return await self.consumer_db.read(select_effects)

    async def unsent(self) -> list[UUID]:
        """What waits in the emitter's outbox."""
        return await self.emitter_db.read(select_unsent)

    async def wait_until_handled(self, events: Sequence[Event]) -> None:
        """Wait until `events` are sent and have taken effect, each exactly once."""

        async def all_there() -> bool:
            arrived = set(await self.effects())
            return arrived >= {e.event_id for e in events} and not await self.unsent()

        await eventually(all_there)
        assert sorted(await self.effects()) == sorted(e.event_id for e in events)

    def dead_letters(self) -> DeadLetters:
        """Those of the bus in use."""
        if self.broker is None:
            return DatabaseDeadLetters({self.consumer_name: self.consumer_db})
        letters = BrokerDeadLetters(self.broker.url, exchange=self.exchange, shop=self.shop_id)
        self._stack.push_async_callback(letters.close)
        return letters

    async def kill_process(self, when: str) -> None:
        """Run another process of these services that kills itself."""
        arguments = {
            "when": when,
            "emitter_db": self.emitter_db.url,
            "consumer_db": self.consumer_db.url,
            "consumer_name": self.consumer_name,
            "exchange": self.exchange,
            "broker_url": self.broker_url,
        }
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.chassis.messaging.dying_process",
            json.dumps(arguments),
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": os.defpath},
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(SECONDS_MAX):
            _, errors = await child.communicate()
        assert child.returncode == -signal.SIGKILL, errors.decode()

    async def close(self) -> None:
        """Close what the test opened."""
        await self._stack.aclose()
        await self.emitter_db.close()
        await self.consumer_db.close()


async def make_chassis_database(postgres: Postgres, name: str) -> Database:
    """A database with the chassis' tables and one for effects."""
    connection = await asyncpg.connect(postgres.url())
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()
    db = open_database(postgres.url(name))
    async with db.connection() as connection:
        for ddl in (*migrations.CHASSIS_DDL, EFFECTS_DDL):
            await connection.execute(ddl)
    return db


async def open_two_services(
    postgres: Postgres, broker: RabbitMqServer | None, consumer_postgres: Postgres | None = None
) -> TwoServices:
    """Two services with databases, queues and an exchange that no other test has."""
    number = next(_numbers)
    return TwoServices(
        emitter_db=await make_chassis_database(postgres, f"emitter_{number}"),
        consumer_db=await make_chassis_database(
            consumer_postgres or postgres, f"consumer_{number}"
        ),
        broker=broker,
        consumer_name=f"consumer{number}",
        exchange=f"test.events.{number}",
        broker_url=broker.url if broker else None,
    )
