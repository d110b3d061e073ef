"""The one place where time and chance enter; everything else is given them."""

import random
import time
import uuid
from datetime import UTC, datetime
from uuid import UUID

_chance = random.Random()  # noqa: S311 seeded by the operating system


def now() -> datetime:
    """The current time in UTC. Whether a hold has expired is the database's clock's to say."""
    return datetime.now(UTC)  # noqa: TID251 the one place


def microseconds() -> int:
    """Since 1970, UTC."""
    return time.time_ns() // 1_000


def new_id() -> UUID:
    """A random UUID (RFC 9562 version 4)."""
    return uuid.uuid4()  # noqa: TID251 the one place


def trace_bits(count: int) -> int:
    """Random, but foreseeable for whoever saw enough of them: for traces, never for secrets."""
    return _chance.getrandbits(count)


def monotonic_seconds() -> float:
    """Seconds that never go back, for durations."""
    return time.monotonic()
