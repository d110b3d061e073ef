"""Chooses the seats for a selection, or says why there are none. Pure."""

from collections.abc import Collection, Sequence

from cinesync.booking.allocation import gaps
from cinesync.booking.allocation.seating import (
    SeatingPlan,
    Seats,
    alternatives,
    best_together,
    stranded,
)
from cinesync.booking.allocation.split import describe, most, split
from cinesync.booking.model import (
    SEATS_PER_HOLD_MAX,
    ChooseSeats,
    GapLeft,
    NotTogether,
    SeatSelection,
    SeatTaken,
    TooManySeats,
    UnknownSeat,
)


def choose(plan: SeatingPlan, taken: Collection[str], selection: SeatSelection) -> Seats:
    """Applies every rule except the companion rule, which depends on the customer and the time.

    Raises SeatTaken, NotTogether, ChooseSeats, TooManySeats, UnknownSeat, GapLeft.
    """
    seats, best, zone = selection
    if bool(seats) == bool(best):
        raise ChooseSeats
    if len(seats) + best > SEATS_PER_HOLD_MAX:
        raise TooManySeats(f"At most {SEATS_PER_HOLD_MAX} seats.", seats_max=SEATS_PER_HOLD_MAX)
    if best:
        return _choose_best(plan, taken, best, zone)
    _check_known(plan, seats)
    gone = [seat for seat in seats if seat in taken]
    if gone:
        raise seat_taken(plan, taken, seats, gone)
    _check_gaps(plan, taken, seats)
    return seats


def seat_taken(
    plan: SeatingPlan, taken: Collection[str], wanted: Sequence[str], gone: Sequence[str]
) -> SeatTaken:
    """Names the seats that are taken, and places nearby that are free."""
    nearby = alternatives(plan, {*taken, *gone}, wanted)
    return SeatTaken(
        f"Somebody was faster: {', '.join(gone)}.", seats=list(gone), alternatives=nearby
    )


def _choose_best(plan: SeatingPlan, taken: Collection[str], count: int, zone: str | None) -> Seats:
    if zone is not None and zone not in plan.zones:
        raise UnknownSeat(f"There is no zone {zone} here.", zone=zone)
    together = best_together(plan, taken, count, zone)
    if together is None:
        raise _not_together(plan, taken, count, zone)
    return together


def _not_together(
    plan: SeatingPlan, taken: Collection[str], count: int, zone: str | None
) -> NotTogether:
    """Offers the party split into groups, or fewer seats."""
    groups = split(plan, taken, count, zone)
    if groups:
        flat = tuple(seat for group in groups for seat in group)
        detail = f"You can sit in {len(groups)} groups: {describe(plan, groups)}."
        return NotTogether(detail, seats=[], alternatives=[flat], groups=[groups])
    fewer = most(plan, taken, count, zone)
    if not fewer:
        return NotTogether("Nothing is free any more.", seats=[], alternatives=[])
    left = sum(map(len, fewer))
    detail = f"Only {left} can still sit here: {describe(plan, fewer)}."
    return NotTogether(detail, seats=[], alternatives=[], fewer=fewer)


def _check_known(plan: SeatingPlan, seats: Seats) -> None:
    unknown = [seat for seat in seats if seat not in plan.seats]
    twice = sorted({seat for seat in seats if seats.count(seat) > 1})
    if unknown:
        raise UnknownSeat(f"There is no seat {', '.join(unknown)}.", seats=unknown)
    if twice:
        raise ChooseSeats(f"{', '.join(twice)}: named twice.", seats=twice)


def _check_gaps(plan: SeatingPlan, taken: Collection[str], seats: Seats) -> None:
    left_alone = stranded(plan, taken, set(seats))
    if left_alone:
        others = gaps.instead(plan, taken, seats)
        listed = ", or ".join(" and ".join(one) for one in others)
        instead = f" Take {listed} instead." if listed else ""
        raise GapLeft(
            f"{', '.join(left_alone)} would be left on its own.{instead}",
            seats=left_alone,
            alternatives=others,
        )
