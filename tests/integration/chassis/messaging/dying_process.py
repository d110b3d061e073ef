"""A process of both services that kills itself at a chosen point; run by `python -m`."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn
from uuid import UUID

from cinesync.chassis.database import open_database
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.bus import Bus
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.chassis.messaging.outbox import Relay
from tests.integration.chassis.messaging.two_services import Paid, TwoServices, paid, record


def die() -> NoReturn:
    """kill -9 of this process: no exit handler runs."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@dataclass(frozen=True, slots=True)
class DyingInbox(Inbox):
    """Kills the process between the commit and the acknowledgement."""

    async def handle(self, messages: Sequence[Message]) -> dict[UUID, Exception]:
        """As every inbox, until the commit."""
        # Not super(): a slotted dataclass is made twice, and super() would mean the first one.
        await Inbox.handle(self, messages)
        die()


async def die_between_commit_and_publish(services: TwoServices, amounts: Sequence[int]) -> None:
    """The events are committed, and not published."""
    await services.emitter_db.run(outbox.append, [paid(amount) for amount in amounts])
    die()


async def die_between_commit_and_ack(services: TwoServices, bus: Bus) -> None:
    """Relay and consume, until the first batch is committed."""
    bus.subscribe(DyingInbox(services.consumer_name, Paid, record, services.consumer_db))
    await bus.start()
    await Relay("emitter", services.emitter_db, bus, "child").run()


async def main(arguments: dict[str, Any]) -> None:
    """Run until the SIGKILL."""
    services = TwoServices(
        emitter_db=open_database(arguments["emitter_db"]),
        consumer_db=open_database(arguments["consumer_db"]),
        broker=None,
        consumer_name=arguments["consumer_name"],
        exchange=arguments["exchange"],
        broker_url=arguments["broker_url"],
    )
    if arguments["when"] == "before publish":
        await die_between_commit_and_publish(services, [1, 2, 3])
    await die_between_commit_and_ack(services, services.make_bus())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
