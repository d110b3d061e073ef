"""The gap rule's alternatives: other seats that leave no single seat free. Pure."""

from collections.abc import Collection, Iterator, Sequence
from itertools import product

from cinesync.booking.allocation.seating import (
    SeatingPlan,
    Seats,
    alternatives,
    blocks,
    stranded,
    stretches,
)
from cinesync.booking.model import ALTERNATIVES_MAX


def instead(plan: SeatingPlan, taken: Collection[str], wanted: Seats) -> list[Seats]:
    """The same seats shifted along their rows as little as possible, then places nearby."""
    parts: list[list[Seats]] = []
    moved: set[str] = set()
    for stretch in _stretches_of(plan, taken, wanted):
        picked = [seat for seat in stretch if seat in wanted]
        if stranded(plan, taken, set(picked)):
            moved.update(picked)
            parts.append(_nearest(stretch, picked))
    remaining = tuple(seat for seat in wanted if seat not in moved)
    found = [
        (*remaining, *(seat for part in chosen for seat in part)) for chosen in product(*parts)
    ]
    nearby = alternatives(plan, taken, wanted)
    known = {frozenset(seats) for seats in found}
    found += [seats for seats in nearby if frozenset(seats) not in known]
    return found[:ALTERNATIVES_MAX]


def _stretches_of(plan: SeatingPlan, taken: Collection[str], wanted: Seats) -> Iterator[Seats]:
    for run in plan.runs_of(wanted):
        for stretch in stretches(run, taken):
            if not set(wanted).isdisjoint(stretch):
                yield stretch


def _nearest(stretch: Seats, picked: Sequence[str]) -> list[Seats]:
    """The nearest two blocks of this size in the stretch that leave no single seat."""
    middle = sum(map(stretch.index, picked)) / len(picked)
    fitting = [
        block.seats
        for block in blocks(stretch, (), len(picked))
        if not block.strands or len(stretch) == len(picked) + 1
    ]
    half = (len(picked) - 1) / 2
    fitting.sort(key=lambda seats: abs(stretch.index(seats[0]) + half - middle))
    return fitting[:2]
