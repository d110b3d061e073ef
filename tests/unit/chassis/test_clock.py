"""Ids in the order of their making and never the same twice, and time."""

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC

from cinesync.chassis import clock

DRAWN = 3 * clock.POOL_IDS


def made_at_milliseconds(made: uuid.UUID) -> int:
    """RFC 9562, section 5.7: the first 48 bits."""
    return made.int >> 80


def test_an_id_is_a_uuid_of_version_7_that_tells_when_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    made = clock.new_id()
    assert before <= made_at_milliseconds(made) <= time.time_ns() // 1_000_000
    read_again = uuid.UUID(str(made))
    assert (read_again.version, read_again.variant) == (7, uuid.RFC_4122)
    assert isinstance(made, uuid.UUID)
    assert made == read_again
    assert hash(made) == hash(read_again)


def test_later_ids_come_later() -> None:
    first = clock.new_id()
    time.sleep(0.002)
    assert first < clock.new_id()


def test_no_two_are_the_same_from_whichever_thread() -> None:
    with ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(lambda _: [clock.new_id() for _ in range(DRAWN)], range(8)))
    tails = {made.int & (1 << 62) - 1 for part in parts for made in part}
    assert len(tails) == 8 * DRAWN


def test_a_forked_process_draws_others() -> None:
    clock.new_id()
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.write(theirs, clock.new_id().bytes)
        os._exit(0)
    os.waitpid(child, 0)
    with os.fdopen(ours, "rb") as received:
        drawn = uuid.UUID(bytes=received.read(16))
    os.close(theirs)
    assert drawn.int & (1 << 62) - 1 != clock.new_id().int & (1 << 62) - 1


def test_time_is_utc_and_durations_are_never_negative() -> None:
    before = clock.monotonic_seconds()
    assert clock.now().tzinfo is UTC
    assert clock.monotonic_seconds() >= before
