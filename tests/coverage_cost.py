"""What coverage takes in vain.

Its tracer finds the stack of the greenlet that runs in a WeakKeyDictionary, whose look-ups are
Python, at each call and return: half of what a traced call costs. A dict is as good when it
forgets the greenlets that have ended.

pytest-cov starts two watches in a test process, because at first it takes it for the controller.
The mark `no_cover` stops the inner one, and the outer goes on for nobody.
"""

import weakref
from typing import Any
from unittest import mock

import pytest
from coverage.collector import Collector

_start_tracer = Collector._start_tracer


class Stacks(dict[Any, int]):
    """The number of each greenlet's stack."""

    def __setitem__(self, greenlet: Any, number: int) -> None:
        for ended in [known for known in self if known.dead]:
            del self[ended]
        super().__setitem__(greenlet, number)


def _start_with_stacks(collector: Collector) -> Any:
    # The tracer takes the class from the module when it sees its first call or return: ours.
    with mock.patch.object(weakref, "WeakKeyDictionary", Stacks):
        return _start_tracer(collector)


def pytest_configure(config: pytest.Config) -> None:
    """From the next tracer on; the real watch of a test process begins with its session."""
    Collector._start_tracer = _start_with_stacks  # type: ignore[method-assign, assignment]
    watch = config.pluginmanager.getplugin("_cov")
    if hasattr(config, "workerinput") and watch is not None and watch.cov_controller is not None:
        watch.cov_controller.cov.stop()


def pytest_unconfigure() -> None:
    """Leave no trace."""
    Collector._start_tracer = _start_tracer  # type: ignore[method-assign]
