"""The same purchases on RabbitMQ: in one process, and with each service in its own behind Caddy."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench import machine
from bench.figures import purchases
from bench.figures.purchases import FULL, QUICK
from bench.system import Say, System, running
from tests.support.rabbitmq_server import installed, temporary_server

__all__ = ["FULL", "QUICK", "measure", "shop", "why_not"]


def why_not() -> str | None:
    """What is missing here; None when all is there."""
    return None if installed() else "Debian's rabbitmq-server is not installed"


@contextmanager
def shop(say: Say, *, split: bool) -> Iterator[System]:
    """On a broker of its own; both are gone afterwards."""
    broker = temporary_server()
    try:
        broker.start()
        with running(say, split=split, RABBITMQ_URL=broker.url) as system:
            yield system
    finally:
        broker.stop()
        shutil.rmtree(broker.directory, ignore_errors=True)


async def measure(system: System, load: purchases.Load) -> dict[str, Any]:
    """Purchases, start and memory."""
    start = {"start_seconds": system.start_seconds, "memory_mb": machine.memory_mb()}
    return {**await purchases.measure(system, load), **start}
