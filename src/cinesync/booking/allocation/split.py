"""Splits a party that does not fit side by side: few groups, balanced, behind each other. Pure.

Each stretch of free seats takes at most one group, and only where the gap rule allows it, so that
the offer can be held. The largest group is placed first. It uses up exactly one stretch wherever it
sits, so trying only its best places never makes a possible split impossible.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from heapq import nsmallest
from itertools import pairwise
from typing import NamedTuple

from cinesync.booking.allocation.seating import SeatingPlan, Seats, stretches

# How many places are tried for the largest group.
STARTS_MAX = 40
# The distance of one row, in seats to the side: the next row goes before the other side of an
# aisle, and that before two rows away.
ROW_COST = 2.5
# Number of groups, and the most rows from one to the next, in the order of trying: three groups
# behind each other go before two groups in different corners.
ATTEMPTS: Sequence[tuple[int, int | None]] = (
    (2, 1), (3, 1), (2, None), (3, None), (4, 1), (4, None), (5, 1), (5, None),
    (6, None), (7, None), (8, None), (9, None), (10, None),
)  # fmt: skip

Groups = tuple[Seats, ...]


class _Place(NamedTuple):
    """A block for one group. `cost` is its distance from the best spot."""

    cost: float
    stretch: int
    row: int
    x: float
    seats: Seats


class _Places:
    """All blocks of a size that satisfy the gap rule, by row; computed on demand."""

    def __init__(self, plan: SeatingPlan, taken: Collection[str], zone: str | None) -> None:
        self._hall = plan
        self._zone = zone
        self._stretches = [s for run in plan.runs for s in stretches(run, taken)]
        self._by_size: dict[int, dict[int, list[_Place]]] = {}

    def of(self, size: int) -> dict[int, list[_Place]]:
        """The blocks of `size`, by row number."""
        if size not in self._by_size:
            rows: dict[int, list[_Place]] = {}
            for number, stretch in enumerate(self._stretches):
                for place in self._in(stretch, number, size):
                    rows.setdefault(place.row, []).append(place)
            self._by_size[size] = rows
        return self._by_size[size]

    def _in(self, stretch: Seats, number: int, size: int) -> Iterator[_Place]:
        spare = len(stretch) - size
        for start in range(spare + 1):
            if spare != 1 and 1 in {start, spare - start}:
                continue
            seats = stretch[start : start + size]
            named = [self._hall.seats[seat] for seat in seats]
            if self._zone is None or all(seat.zone == self._zone for seat in named):
                yield _Place(
                    cost=sum(self._hall.cost[seat] for seat in seats) / size,
                    stretch=number,
                    row=self._hall.row_numbers[named[0].row],
                    x=sum(seat.x for seat in named) / size,
                    seats=seats,
                )


def split(plan: SeatingPlan, taken: Collection[str], count: int, zone: str | None) -> Groups:
    """Groups for `count` people, from the front row to the last; empty if there are not enough
    seats. A group of one is the last resort."""
    return _split(_Places(plan, taken, zone), count)


def _split(places: _Places, count: int) -> Groups:
    for smallest in (2, 1):
        for group_count, rows_max in ATTEMPTS:
            for sizes in _partitions(count, group_count, smallest):
                found = _seat(places, sizes, rows_max)
                if found:
                    return tuple(one.seats for one in sorted(found, key=lambda p: (p.row, p.x)))
    return ()


def most(plan: SeatingPlan, taken: Collection[str], count: int, zone: str | None) -> Groups:
    """Groups for as many of `count` people as possible, in as few groups as possible."""
    places = _Places(plan, taken, zone)
    for smaller in range(count - 1, 0, -1):
        together = _seat(places, (smaller,), None)
        groups = (together[0].seats,) if together else _split(places, smaller)
        if groups:
            return groups
    return ()


@cache
def _partitions(count: int, group_count: int, smallest: int) -> Sequence[tuple[int, ...]]:
    """Group sizes, the largest first; partitions with the fewest single people come first, then the
    most balanced ones."""

    def parts(left: int, groups: int, largest: int) -> Iterator[tuple[int, ...]]:
        if groups == 1:
            if smallest <= left <= largest:
                yield (left,)
            return
        for size in range(min(largest, left - smallest * (groups - 1)), smallest - 1, -1):
            for rest in parts(left - size, groups - 1, size):
                yield (size, *rest)

    return sorted(
        parts(count, group_count, count), key=lambda sizes: (sizes.count(1), sizes[0] - sizes[-1])
    )


def _seat(places: _Places, sizes: Sequence[int], rows_max: int | None) -> list[_Place]:
    """The groups nearest to each other, then nearest to the best spot; empty if there are none."""
    largest = places.of(sizes[0])
    starts = nsmallest(STARTS_MAX, (place for row in largest.values() for place in row))
    best: tuple[float, float] | None = None
    found: list[_Place] = []
    for start in starts:
        seated = [start]
        apart = 0.0
        for size in sizes[1:]:
            following = _nearest(places.of(size), seated, rows_max)
            if following is None:
                break
            apart += following[0]
            seated.append(following[1])
        score = (apart, sum(place.cost for place in seated))
        if len(seated) == len(sizes) and (best is None or score < best):
            best, found = score, seated
    return found


def _nearest(
    rows: Mapping[int, Sequence[_Place]], seated: Sequence[_Place], rows_max: int | None
) -> tuple[float, _Place] | None:
    """The block nearest to one of the seated groups, in a stretch that is not used yet."""
    used = {place.stretch for place in seated}
    best: tuple[float, _Place] | None = None
    for row, places in rows.items():
        near = [(abs(row - one.row), one.x) for one in seated]
        if rows_max is not None:
            near = [at for at in near if at[0] <= rows_max]
        if not near or (best and ROW_COST * min(near)[0] > best[0]):
            continue
        for place in places:
            if place.stretch not in used:
                apart = min(ROW_COST * rows_off + abs(place.x - x) for rows_off, x in near)
                if best is None or (apart, place) < best:
                    best = (apart, place)
    return best


def describe(plan: SeatingPlan, groups: Groups) -> str:
    """`4 in row D and 4 in row E, behind each other`."""
    rows = [plan.row_numbers[plan.seats[group[0]].row] for group in groups]
    words = [f"{len(group)} in row {plan.seats[group[0]].row}" for group in groups]
    behind = all(after - before == 1 for before, after in pairwise(rows))
    listed = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
    return f"{listed}, behind each other" if behind and len(groups) > 1 else listed
