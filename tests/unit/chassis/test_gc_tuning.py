"""Collecting seldom is still collecting."""

import gc
import weakref

from cinesync.chassis import gc_tuning


class Knot:
    """Something that holds itself."""

    def __init__(self) -> None:
        self.itself = self


def test_cycles_are_found_all_the_same() -> None:
    before = gc.get_threshold()
    try:
        gc_tuning.collect_seldom()
        seen = weakref.ref(Knot())
        kept = [[] for _ in range(2 * gc_tuning.YOUNG_OBJECTS_MAX)]  # type: ignore[var-annotated]
        assert len(kept) > gc_tuning.YOUNG_OBJECTS_MAX
        assert seen() is None
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
