"""What is not to be covered is not watched, and what is watched does not hang."""

import sys
import weakref
from types import FrameType
from typing import Any

import pytest


class Ends:
    """As a greenlet does."""


@pytest.mark.no_cover
def test_nobody_watches_what_is_not_to_be_covered() -> None:
    assert sys.gettrace() is None


def test_what_ended_is_forgotten_without_calling_python() -> None:
    called: list[str] = []

    def note(frame: FrameType, event: str, _arg: Any) -> None:
        if event == "call":
            called.append(frame.f_code.co_qualname)

    stacks: weakref.WeakKeyDictionary[Ends, int] = weakref.WeakKeyDictionary()
    one = Ends()
    stacks[one] = 1
    sys.setprofile(note)
    del one
    sys.setprofile(None)
    assert called == []
    assert not stacks
