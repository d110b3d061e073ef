"""The one source of time, ids and randomness.

Ids are made here and not by uuid-utils. Its version 7 takes 87 ns to make, and ours 460; but its
UUID is no `uuid.UUID`: msgspec cannot encode it, it takes 51 ns to compare instead of 32, and
making the driver's UUID of it (ids.py) brings it to 627 ns.
"""

import os
import random
import struct
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

from cinesync.chassis.ids import id_of

POOL_IDS = 400
# The lower 80 bits of RFC 9562, section 5.7.
_VERSION_7 = 0x7 << 76 | 0b10 << 62
_RANDOM_MASK = (1 << 80) - 1 & ~(0xF << 76 | 0b11 << 62)
_random = random.Random()  # noqa: S311 seeded by the operating system


class _Pool:
    """Random bytes of the operating system, fetched for many ids at once."""

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)  # else both draw the same

    def forget(self) -> None:
        """Discard the bytes that are left."""
        self._rest: Iterator[tuple[bytes]] = iter(())

    def draw(self) -> int:
        """80 bits, never drawn before."""
        for (drawn,) in self._rest:  # atomic: no two threads draw the same
            return int.from_bytes(drawn)
        self._rest = struct.iter_unpack("10s", os.urandom(10 * POOL_IDS))
        return self.draw()


_pool = _Pool()


def now() -> datetime:
    """The current time in UTC. Holds expire by the clock of the database, not by this one."""
    return datetime.now(UTC)  # noqa: TID251 the one place


def microseconds() -> int:
    """Since 1970, UTC."""
    return time.time_ns() // 1_000


def new_id() -> UUID:
    """A UUID that rises with time, by the millisecond (RFC 9562 version 7); 74 bits are random.

    Ids made at the same time are neighbours in an index. An id contains its time.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | _pool.draw() & _RANDOM_MASK | _VERSION_7
    return id_of(value.to_bytes(16))


def first_id_of(instant: datetime) -> UUID:
    """The lowest id of that time: no later id is lower."""
    return id_of((int(instant.timestamp() * 1_000) << 80).to_bytes(16))


def random_share() -> float:
    """A number from 0 to 1, for jitter; never for secrets."""
    return _random.random()


def trace_bits(count: int) -> int:
    """Random bits for traces. They are predictable from earlier ones: never for secrets."""
    return _random.getrandbits(count)


def monotonic_seconds() -> float:
    """Seconds that never go back, for durations."""
    return time.monotonic()
