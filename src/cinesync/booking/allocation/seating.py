"""Seating plans: seats side by side, near the best spot, without leaving a single one. Pure.

A run is a row of neighbours from aisle to aisle; a stretch is a part of a run that is free. The
best place for a party is the block of free neighbours whose seats are on average nearest to the
best spot. A block that leaves a single free seat beside it strands that seat: nobody but one person
alone would buy it. Blocks that strand none go first, and the gap rule (`stranded`) refuses a
selection that strands a seat where another one of the same stretch would not.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import groupby
from math import hypot

from cinesync.booking.model import (
    ALTERNATIVES_MAX,
)
from cinesync.contracts.movies import LayoutSeat

WHEELCHAIR = "wheelchair"
COMPANION = "companion"

# The best spot is in the middle across, and at this share of the way from the first row to the
# last.
BEST_DEPTH = 0.62
# Most parties are pairs. Each odd number of seats left beside a block costs this much (in seat
# pitches), so that a rush fills rows instead of leaving one seat in each.
ODD_REST_COST = 0.3

# Cached placements of one plan; in a rush each run passes through a dozen states.
PLACEMENTS_CACHED_MAX = 4_000

Seats = tuple[str, ...]
# Seats stranded, distance from the best spot, and the seats: the smallest is the best.
Placement = tuple[int, float, Seats]


@dataclass(frozen=True, slots=True)
class SeatingPlan:
    """A layout, indexed for choosing seats.

    `runs` go from aisle to aisle, the run with the best seat first; wheelchair places and companion
    seats are in none. `nearest` is the cost of each run's best seat, `depths` the least and
    greatest y of its seats. `cost` is a seat's distance from the best spot, in seat pitches.
    `companions` lists the companion seats of each wheelchair place, `companion_of` the place of
    each companion seat. `run_of` is the index of a seat's run; `row_numbers` count rows from the
    front.
    """

    seats: Mapping[str, LayoutSeat]
    zones: Set[str]
    runs: Sequence[Seats]
    nearest: Sequence[float]
    depths: Sequence[tuple[float, float]]
    cost: Mapping[str, float]
    companions: Mapping[str, Seats]
    companion_of: Mapping[str, str]
    run_of: Mapping[str, int]
    row_numbers: Mapping[str, int]
    _placements: dict[tuple[int, bytes, int, str | None], Placement | None] = field(
        default_factory=dict, compare=False, repr=False
    )

    def best_in(
        self, run_index: int, taken: Collection[str], count: int, zone: str | None
    ) -> Placement | None:
        """The best block for `count` people in a run, cached by the run's state: plans do not
        change, and shows sell in much the same order."""
        run = self.runs[run_index]
        key = (run_index, bytes(map(taken.__contains__, run)), count, zone)
        if key not in self._placements:
            if len(self._placements) == PLACEMENTS_CACHED_MAX:
                self._placements.clear()
            free = stretches(run, taken)
            places = (place for one in free for place in _placements(self, one, count, zone))
            self._placements[key] = min(places, default=None)
        return self._placements[key]

    def runs_of(self, seats: Iterable[str]) -> list[Seats]:
        """The runs of these seats."""
        found = {self.run_of[seat] for seat in seats if seat in self.run_of}
        return [self.runs[index] for index in sorted(found)]

    def outside(self, zones: Set[str]) -> list[str]:
        """The seats of all other zones."""
        if self.zones <= zones:
            return []
        return [name for name, seat in self.seats.items() if seat.zone not in zones]


@dataclass(frozen=True, slots=True)
class SeatBlock:
    """Free seats side by side; `rests` is how many are left free on either side of them."""

    seats: Seats
    rests: tuple[int, int]

    @property
    def strands(self) -> int:
        """The single seats that taking these leaves."""
        return self.rests.count(1)


def arrange(seats: Iterable[LayoutSeat]) -> SeatingPlan:
    """The seating plan of a layout."""
    by_name = {seat.seat: seat for seat in seats}
    ordinary = sorted(
        (seat for seat in by_name.values() if seat.kind not in {WHEELCHAIR, COMPANION}),
        key=lambda seat: (seat.row, seat.run, seat.number),
    )
    # Within one run, a seat's number minus its index in the order is constant.
    in_line = groupby(
        enumerate(ordinary), key=lambda at: (at[1].row, at[1].run, at[1].number - at[0])
    )
    companions: dict[str, Seats] = {}
    for seat in by_name.values():
        if seat.companion_of is not None:
            companions[seat.companion_of] = (*companions.get(seat.companion_of, ()), seat.seat)
    runs = [tuple(seat.seat for _, seat in run) for _, run in in_line]
    cost = _costs(list(by_name.values()))
    runs.sort(key=lambda run: (min(cost[seat] for seat in run), run))
    depths = [[by_name[seat].y for seat in run] for run in runs]
    return SeatingPlan(
        seats=by_name,
        zones=frozenset(seat.zone for seat in by_name.values()),
        runs=runs,
        nearest=[min(cost[seat] for seat in run) for run in runs],
        depths=[(min(ys), max(ys)) for ys in depths],
        cost=cost,
        companions=companions,
        companion_of={
            seat.seat: seat.companion_of or ""
            for seat in by_name.values()
            if seat.kind == COMPANION
        },
        run_of={seat: index for index, run in enumerate(runs) for seat in run},
        row_numbers=_row_numbers(ordinary),
    )


def _row_numbers(seats: Sequence[LayoutSeat]) -> dict[str, int]:
    """Rows by their mean depth: the seats of a curved row differ in depth."""
    depths: dict[str, list[float]] = {}
    for seat in seats:
        depths.setdefault(seat.row, []).append(seat.y)
    ordered = sorted(depths, key=lambda row: (sum(depths[row]) / len(depths[row]), row))
    return {row: number for number, row in enumerate(ordered)}


def _costs(seats: Sequence[LayoutSeat]) -> dict[str, float]:
    """Each seat's distance from the best spot."""
    if not seats:
        return {}
    xs = [seat.x for seat in seats]
    ys = [seat.y for seat in seats]
    best_x = (min(xs) + max(xs)) / 2
    best_y = min(ys) + BEST_DEPTH * (max(ys) - min(ys))
    return {seat.seat: hypot(seat.x - best_x, seat.y - best_y) for seat in seats}


def stretches(run: Seats, taken: Collection[str]) -> Iterator[Seats]:
    """Free neighbours, from one taken seat or aisle to the next."""
    for is_taken, seats in groupby(run, taken.__contains__):
        if not is_taken:
            yield tuple(seats)


def blocks(run: Seats, taken: Collection[str], count: int) -> Iterator[SeatBlock]:
    """Every block for `count` people in a run."""
    for stretch in stretches(run, taken):
        spare = len(stretch) - count
        for start in range(spare + 1):
            yield SeatBlock(stretch[start : start + count], (start, spare - start))


def best_together(
    plan: SeatingPlan, taken: Collection[str], count: int, zone: str | None
) -> Seats | None:
    """The best block: one that strands no seat before one that does, then by distance."""
    best: Placement | None = None
    for run_index, nearest in enumerate(plan.nearest):
        if best is not None and best[0] == 0 and best[1] < nearest:
            break  # every later run is farther away
        place = plan.best_in(run_index, taken, count, zone)
        if place is not None and (best is None or place < best):
            best = place
    return best[2] if best else None


def _placements(
    plan: SeatingPlan, stretch: Seats, count: int, zone: str | None
) -> Iterator[Placement]:
    """Every block for `count` people in the stretch, with its score."""
    spare = len(stretch) - count
    costs = [plan.cost[seat] for seat in stretch]
    for start in range(spare + 1):
        rests = (start, spare - start)
        seats = stretch[start : start + count]
        if zone is None or all(plan.seats[seat].zone == zone for seat in seats):
            distance = sum(costs[start : start + count]) / count
            odd = ODD_REST_COST * (rests[0] % 2 + rests[1] % 2)
            yield rests.count(1), distance + odd, seats


def stranded(plan: SeatingPlan, taken: Collection[str], chosen: Set[str]) -> list[str]:
    """Single seats that `chosen` would leave although other seats of the stretch would leave none.

    A stretch with exactly one seat more than the party always leaves one; that is allowed, so that
    the last seats of a show can be sold.
    """
    left_alone: list[str] = []
    for run in plan.runs_of(chosen):
        for stretch in stretches(run, taken):
            left_alone += _stranded_in(stretch, chosen)
    return left_alone


def _stranded_in(stretch: Seats, chosen: Collection[str]) -> list[str]:
    picked = sum(seat in chosen for seat in stretch)
    if not picked or len(stretch) == picked + 1:
        return []
    rests = [
        list(rest) for is_chosen, rest in groupby(stretch, chosen.__contains__) if not is_chosen
    ]
    return [rest[0] for rest in rests if len(rest) == 1]


def alternatives(plan: SeatingPlan, taken: Collection[str], wanted: Sequence[str]) -> list[Seats]:
    """The nearest places for the same party: gap-free, side by side, not overlapping."""
    if any(plan.seats[seat].kind == WHEELCHAIR for seat in wanted):
        return _nearest(plan, wanted, _wheelchair_places(plan, taken, len(wanted)))
    _, wanted_y = _middle(plan, wanted)
    found: list[Seats] = []
    # From the wanted row outward; a curved row counts from its nearest point.
    by_row = sorted(
        (max(first - wanted_y, wanted_y - last, 0.0), run)
        for run, (first, last) in zip(plan.runs, plan.depths, strict=True)
    )
    for rows_off, run in by_row:
        if len(found) == ALTERNATIVES_MAX and rows_off > _distance(plan, found[-1], wanted):
            break
        free = blocks(run, taken, len(wanted))
        found += [block.seats for block in free if not block.strands]
        found = _nearest(plan, wanted, found)
    return found


def _nearest(plan: SeatingPlan, wanted: Sequence[str], found: list[Seats]) -> list[Seats]:
    """The nearest few that do not overlap."""
    offered: list[Seats] = []
    for seats in sorted(found, key=lambda seats: (_distance(plan, seats, wanted), seats)):
        if not any(set(seats) & set(other) for other in offered):
            offered.append(seats)
        if len(offered) == ALTERNATIVES_MAX:
            break
    return offered


def _wheelchair_places(plan: SeatingPlan, taken: Collection[str], count: int) -> list[Seats]:
    """Free wheelchair places with enough free companion seats for the party."""
    found = []
    for place, seat in plan.seats.items():
        companions = [name for name in plan.companions.get(place, ()) if name not in taken]
        if seat.kind == WHEELCHAIR and place not in taken and len(companions) >= count - 1:
            found.append((place, *companions[: count - 1]))
    return found


def _distance(plan: SeatingPlan, seats: Sequence[str], wanted: Sequence[str]) -> float:
    """Between the middles of two groups of seats."""
    ax, ay = _middle(plan, seats)
    bx, by = _middle(plan, wanted)
    return hypot(ax - bx, ay - by)


def _middle(plan: SeatingPlan, seats: Sequence[str]) -> tuple[float, float]:
    places = [plan.seats[seat] for seat in seats]
    return (
        sum(place.x for place in places) / len(places),
        sum(place.y for place in places) / len(places),
    )
