"""What coverage takes in vain, and what it would hang in.

pytest-cov starts two watches in a test process, because at first it takes it for the controller.
The mark `no_cover` stops the inner one, and the outer would go on for nobody.

When a thread has ended, greenlet lets go of its own in a pending call of CPython's, and coverage
hears of it through a WeakKeyDictionary. A watched Python function that begins in a pending call
while the next one waits begins for ever in CPython 3.11 (ceval.c: DO_TRACING looks for pending
calls before RESUME, which are not made in one another). So no Python is called then: the
dictionary forgets in C.
"""

import weakref
from typing import Any

import pytest


class KeysForgottenInC(weakref.WeakKeyDictionary[Any, Any]):
    """Not to be iterated over while keys may end: nothing waits for that here."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._remove = self.data.pop  # type: ignore[attr-defined]


def pytest_configure(config: pytest.Config) -> None:
    """Before any thread has begun; the real watch of a test process begins with its session."""
    weakref.WeakKeyDictionary = KeysForgottenInC  # type: ignore[assignment,misc]
    watch = config.pluginmanager.getplugin("_cov")
    if hasattr(config, "workerinput") and watch is not None and watch.cov_controller is not None:
        watch.cov_controller.cov.stop()
