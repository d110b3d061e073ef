"""What can be measured, by name, and at which size."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

from bench.figures import (
    baseline,
    broker,
    ceiling,
    growth,
    holds,
    hot,
    ledger_alone,
    live,
    purchases,
    reads,
)
from bench.system import Say, System


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


Alone = Callable[[Say, Size], dict[str, Any]]
Measure = Callable[[System, Size], Coroutine[Any, Any, dict[str, Any]]]


async def _holds(system: System, size: Size) -> dict[str, Any]:
    load = size.of(holds.QUICK, holds.FULL)
    return {
        "spread": await holds.spread(system, load),
        "one_show": await holds.one_show(system, load),
    }


def _ledger(_say: Say, size: Size) -> dict[str, Any]:
    load = size.of(ledger_alone.QUICK, ledger_alone.FULL)
    return dict(asyncio.run(ledger_alone.measure(load)))


def _on_broker(say: Say, size: Size, *, split: bool) -> dict[str, Any]:
    missing = broker.why_not()
    if missing:
        say(f"left out: {missing}")
        return {"left_out": missing}
    with broker.shop(say, split=split) as system:
        return asyncio.run(broker.measure(system, size.of(broker.QUICK, broker.FULL)))


def _reads(what: str) -> Measure:
    async def measure(system: System, size: Size) -> dict[str, Any]:
        figures: dict[str, Any] = await getattr(reads, what)(
            system, size.of(reads.QUICK, reads.FULL)
        )
        return figures

    return measure


def _simple(figure: ModuleType) -> Measure:
    """A module with `measure`, QUICK and FULL."""

    async def measure(system: System, size: Size) -> dict[str, Any]:
        figures: dict[str, Any] = await figure.measure(system, size.of(figure.QUICK, figure.FULL))
        return figures

    return measure


FIGURES: Mapping[str, Measure] = {
    "ceiling": _simple(ceiling),
    "baseline": _simple(baseline),
    "holds": _holds,
    "hot": _simple(hot),
    "purchases": _simple(purchases),
    "seat_maps": _reads("seat_maps"),
    "pages": _reads("pages"),
    "live": _simple(live),
    "growth": _simple(growth),
}

# Those that run when the shop is stopped, on something of their own.
ALONE: Mapping[str, Alone] = {
    "ledger": _ledger,
    "rabbitmq": partial(_on_broker, split=False),
    "split": partial(_on_broker, split=True),
}

# What takes longest and has several levels of its own: in the first of several runs only.
ONCE = frozenset({"growth"})
# What a quick look does without, unless it is asked for by name.
LONG = frozenset({"growth", "rabbitmq", "split"})
