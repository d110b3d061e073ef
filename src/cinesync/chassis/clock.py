"""The one place where time and chance enter; everything else is given them."""

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
_RANDOM = (1 << 80) - 1 & ~(0xF << 76 | 0b11 << 62)
_chance = random.Random()  # noqa: S311 seeded by the operating system


class _Pool:
    """80 bits at a time of the operating system's chance, fetched for many ids at once."""

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)  # or both would draw the same

    def forget(self) -> None:
        """What is left of it."""
        self._rest: Iterator[tuple[bytes]] = iter(())

    def draw(self) -> int:
        """Of these bits, once."""
        for (drawn,) in self._rest:  # one step of an iterator: no two threads draw the same
            return int.from_bytes(drawn)
        self._rest = struct.iter_unpack("10s", os.urandom(10 * POOL_IDS))
        return self.draw()


_pool = _Pool()


def now() -> datetime:
    """The current time in UTC. Whether a hold has expired is the database's clock's to say."""
    return datetime.now(UTC)  # noqa: TID251 the one place


def microseconds() -> int:
    """Since 1970, UTC."""
    return time.time_ns() // 1_000


def new_id() -> UUID:
    """A UUID that rises with time, by the millisecond (RFC 9562 version 7); 74 bits are random.

    What is made together stands together in every index. It tells when it was made.
    """
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | _pool.draw() & _RANDOM | _VERSION_7
    return id_of(value.to_bytes(16))


def first_id_of(moment: datetime) -> UUID:
    """No id that is made then or later is lower."""
    return id_of((int(moment.timestamp() * 1_000) << 80).to_bytes(16))


def random_share() -> float:
    """A number from 0 to 1, for jitter; never for secrets."""
    return _chance.random()


def trace_bits(count: int) -> int:
    """Random, but foreseeable for whoever saw enough of them: for traces, never for secrets."""
    return _chance.getrandbits(count)


def monotonic_seconds() -> float:
    """Seconds that never go back, for durations."""
    return time.monotonic()
