"""Coverage is cheaper here, and counts the same."""

import sys
import weakref
from typing import Any
from unittest import mock

import coverage
import pytest
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from tests.coverage_cost import Stacks


class Slow(weakref.WeakKeyDictionary[Any, int]):
    """What the tracer would ask, counting how often."""

    looks = 0

    def __getitem__(self, key: Any) -> int:
        Slow.looks += 1
        return super().__getitem__(key)


def ping(other: Any) -> int:
    """In turns with its twin."""
    first = other.switch() if other else getcurrent().parent.switch()
    return 1 if first is None else first


def test_no_look_up_of_the_tracer_is_made_in_python() -> None:
    watch = coverage.Coverage(data_file=None, config_file=False, concurrency=["greenlet"])
    with mock.patch.object(weakref, "WeakKeyDictionary", Slow):
        watch.start()
        twin = greenlet(ping)
        twin.switch(None)
        ping(twin)
        watch.stop()
    assert Slow.looks == 0
    _, _, _, missing, _ = watch.analysis2(__file__)
    line = ping.__code__.co_firstlineno + 2
    assert not {line, line + 1} & set(missing)


def test_only_greenlets_that_live_are_kept() -> None:
    ended = greenlet(lambda: None)
    stacks = Stacks()
    stacks[getcurrent()] = 0
    stacks[ended] = 1
    ended.switch()
    stacks[greenlet(lambda: None)] = 2
    assert sorted(stacks.values()) == [0, 2]
    assert stacks[getcurrent()] == 0


@pytest.mark.no_cover
def test_nobody_watches_what_is_not_to_be_covered() -> None:
    assert sys.gettrace() is None
