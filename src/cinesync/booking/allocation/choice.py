"""The seats that a wish gets, or the reason why it gets none. Pure."""

from collections.abc import Collection, Sequence

from cinesync.booking.allocation import gaps
from cinesync.booking.allocation.seating import Hall, Seats, alternatives, best_together, stranded
from cinesync.booking.allocation.split import describe, most, split
from cinesync.booking.model import (
    SEATS_PER_HOLD_MAX,
    ChooseSeats,
    GapLeft,
    NotTogether,
    SeatTaken,
    TooManySeats,
    UnknownSeat,
)


def choose(hall: Hall, taken: Collection[str], seats: Seats, best: int, zone: str | None) -> Seats:
    """By all rules but those about companions, which need to know who asks and when.

    Raises SeatTaken, NotTogether, and the rules ChooseSeats, TooManySeats, UnknownSeat, GapLeft.
    """
    if bool(seats) == bool(best):
        raise ChooseSeats
    _check_count(len(seats) + best)
    if best:
        return _choose_best(hall, taken, best, zone)
    _check_known(hall, seats)
    gone = [seat for seat in seats if seat in taken]
    if gone:
        raise seat_taken(hall, taken, seats, gone)
    _check_gaps(hall, taken, seats)
    return seats


def seat_taken(
    hall: Hall, taken: Collection[str], wanted: Sequence[str], gone: Sequence[str]
) -> SeatTaken:
    """Says which seats went and what is free nearby."""
    nearby = alternatives(hall, {*taken, *gone}, wanted)
    return SeatTaken(
        f"Somebody was faster: {', '.join(gone)}.", seats=list(gone), alternatives=nearby
    )


def _choose_best(hall: Hall, taken: Collection[str], count: int, zone: str | None) -> Seats:
    if zone is not None and zone not in hall.zones:
        raise UnknownSeat(f"There is no zone {zone} here.", zone=zone)
    together = best_together(hall, taken, count, zone)
    if together is None:
        raise _not_together(hall, taken, count, zone)
    return together


def _not_together(hall: Hall, taken: Collection[str], count: int, zone: str | None) -> NotTogether:
    """With the party split over several rows, or as many seats as there are."""
    groups = split(hall, taken, count, zone)
    if groups:
        flat = tuple(seat for group in groups for seat in group)
        detail = f"You can sit in {len(groups)} groups: {describe(hall, groups)}."
        return NotTogether(detail, seats=[], alternatives=[flat], groups=[groups])
    fewer = most(hall, taken, count, zone)
    if not fewer:
        return NotTogether("Nothing is free any more.", seats=[], alternatives=[])
    left = sum(map(len, fewer))
    detail = f"Only {left} can still sit here: {describe(hall, fewer)}."
    return NotTogether(detail, seats=[], alternatives=[], fewer=fewer)


def _check_count(count: int) -> None:
    if count > SEATS_PER_HOLD_MAX:
        raise TooManySeats(f"At most {SEATS_PER_HOLD_MAX} seats.", seats_max=SEATS_PER_HOLD_MAX)


def _check_known(hall: Hall, seats: Seats) -> None:
    unknown = [seat for seat in seats if seat not in hall.seats]
    twice = sorted({seat for seat in seats if seats.count(seat) > 1})
    if unknown:
        raise UnknownSeat(f"There is no seat {', '.join(unknown)}.", seats=unknown)
    if twice:
        raise ChooseSeats(f"{', '.join(twice)}: named twice.", seats=twice)


def _check_gaps(hall: Hall, taken: Collection[str], seats: Seats) -> None:
    left_alone = stranded(hall, taken, set(seats))
    if left_alone:
        others = gaps.instead(hall, taken, seats)
        told = ", or ".join(" and ".join(one) for one in others)
        instead = f" Take {told} instead." if told else ""
        raise GapLeft(
            f"{', '.join(left_alone)} would be left on its own.{instead}",
            seats=left_alone,
            alternatives=others,
        )
