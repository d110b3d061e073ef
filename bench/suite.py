"""What can be measured, by name, and at which size."""

import tempfile
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.figures import holds, ledger_alone, purchases
from bench.system import System


@dataclass(frozen=True, slots=True)
class Size:
    """How much load; `rate` and `seconds` override a figure's own."""

    quick: bool = False
    rate: float | None = None
    seconds: float | None = None
    connections: int | None = None

    def of(self, quick: Any, full: Any) -> Any:
        """A figure's load, with what was overridden."""
        chosen = quick if self.quick else full
        wishes = {"rate": self.rate, "seconds": self.seconds, "connections": self.connections}
        for name, value in wishes.items():
            if value is not None and hasattr(chosen, name):
                chosen = replace(chosen, **{name: value})
        return chosen


Measure = Callable[[System, Size], Coroutine[Any, Any, dict[str, Any]]]


async def _holds(system: System, size: Size) -> dict[str, Any]:
    load = size.of(holds.QUICK, holds.FULL)
    return {
        "spread": await holds.spread(system, load),
        "one_show": await holds.one_show(system, load),
    }


async def _purchases(system: System, size: Size) -> dict[str, Any]:
    return await purchases.measure(system, size.of(purchases.QUICK, purchases.FULL))


async def _ledger(_system: System, _size: Size) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="cinesync-bench-") as folder:
        return await ledger_alone.measure(Path(folder))


FIGURES: Mapping[str, Measure] = {"holds": _holds, "purchases": _purchases, "ledger": _ledger}
