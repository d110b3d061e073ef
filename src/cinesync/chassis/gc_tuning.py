"""How often a long-running process looks for cycles in its memory."""

import gc

YOUNG_OBJECTS_MAX = 50_000


def collect_seldom() -> None:
    """Call once all is loaded: that stays, and is never looked through again.

    Requests and messages leave hardly a cycle behind; looking every 700 objects, as Python does,
    took a fifth of a validator's time under load.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS_MAX, 20, 50)
