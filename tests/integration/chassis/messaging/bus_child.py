"""A service's process that dies at a chosen moment: `python -m` runs it."""

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
from tests.integration.chassis.messaging.bus_house import House, Paid, paid, record


def die() -> NoReturn:
    """kill -9 of ourselves: no exit handler, no goodbye to anyone."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


@dataclass(frozen=True, slots=True)
class DyingInbox(Inbox):
    """Commits, and never gets to say so."""

    async def receive(self, messages: Sequence[Message]) -> dict[UUID, Exception]:
        """The moment between the commit and the ack."""
        # Not super(): a slotted dataclass is made twice, and super() would mean the first one.
        await Inbox.receive(self, messages)
        die()


async def die_between_commit_and_publish(house: House, amounts: Sequence[int]) -> None:
    """The events are in the outbox, and nobody has been told."""
    await house.shop.run(outbox.append, [paid(amount) for amount in amounts])
    die()


async def die_between_commit_and_ack(house: House, bus: Bus) -> None:
    """Relay and consume, and die with the first batch committed."""
    bus.subscribe(DyingInbox(house.till_name, Paid, record, house.till))
    await bus.start()
    await Relay("shop", house.shop, bus, "child").run()


async def main(arguments: dict[str, Any]) -> None:
    """What `arguments` say; ends by SIGKILL."""
    house = House(
        shop=open_database(arguments["shop"]),
        till=open_database(arguments["till"]),
        broker=None,
        till_name=arguments["till_name"],
        exchange=arguments["exchange"],
        broker_url=arguments["broker_url"],
    )
    if arguments["die"] == "before publish":
        await die_between_commit_and_publish(house, [1, 2, 3])
    await die_between_commit_and_ack(house, house.make_bus())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
