"""Which seats of a booking may be given back, and what money goes with them: pure."""

from collections.abc import Collection, Iterator, Sequence, Set
from itertools import combinations
from typing import NamedTuple

from cinesync.booking.allocation import seating
from cinesync.booking.allocation.seating import COMPANION, Hall, Seats
from cinesync.booking.model import Booking, CompanionAlone, GapLeft, PricedSeat, RuleBroken

TOGETHER_MAX = 3


class NotInBooking(RuleBroken):
    """This booking has no such seat."""

    rule = "not_in_booking"


class AlreadyAdmitted(RuleBroken):
    """Somebody went in with this ticket."""

    rule = "admitted"


class Split(NamedTuple):
    """What of a booking goes and what stays."""

    going: Sequence[PricedSeat]
    staying: Sequence[PricedSeat]


def split(booking: Booking, wanted: Sequence[str]) -> Split:
    """The seats to give back: those named, or all. What was given back before is not asked for
    again. Raises NotInBooking."""
    if not wanted:
        return Split(booking.seats, ())
    known = {*booking.seat_names, *(priced.seat for priced in booking.cancelled_seats)}
    strange = [seat for seat in wanted if seat not in known]
    if strange:
        raise NotInBooking(f"There is no {', '.join(strange)} in it.", seats=strange)
    going = [priced for priced in booking.seats if priced.seat in wanted]
    return Split(going, [priced for priced in booking.seats if priced.seat not in wanted])


def refund_cents_of(booking: Booking, parted: Split) -> int:
    """What goes back: what was paid for these seats, never more than is left; all that is left
    with the last of them."""
    left_cents = booking.total_cents - booking.refund_cents
    if not parted.staying:
        return left_cents
    return min(sum(priced.price_cents for priced in parted.going), left_cents)


def check(hall: Hall, taken: Collection[str], parted: Split) -> None:
    """What stays must be as it could have been sold; a whole booking can always be given back.

    `taken` are all seats that are not free, this booking's too. Raises CompanionAlone, GapLeft.
    """
    going = {priced.seat for priced in parted.going}
    staying = {priced.seat for priced in parted.staying}
    if not going or not staying:
        return
    _check_companions(hall, going, staying)
    _check_gaps(hall, frozenset(taken) | going, going, staying)


def _check_companions(hall: Hall, going: Set[str], staying: Set[str]) -> None:
    alone = {
        seat: place
        for seat in sorted(staying)
        if seat in hall.seats
        and hall.seats[seat].kind == COMPANION
        and (place := hall.seats[seat].companion_of) in going
    }
    if alone:
        together = sorted({*alone, *(place for place in alone.values() if place)})
        raise CompanionAlone(
            f"{', '.join(alone)} goes with wheelchair place {', '.join(sorted(going))}:"
            f" cancel {_listed(together)} together.",
            seats=list(alone),
            alternatives=[together],
        )


def _check_gaps(hall: Hall, taken: Set[str], going: Set[str], staying: Set[str]) -> None:
    """As with holds: refused if the same party could give back other seats and leave no single
    seat; allowed where nothing else fits, because nobody must pay for a seat to fill a row."""
    alone = left_alone(hall, taken, going)
    if not alone:
        return
    others = list(_others(hall, taken, going, staying))
    if not any(len(other) == len(going) for other in others):
        return
    raise GapLeft(
        f"{', '.join(alone)} would be left on its own between taken seats."
        f" Cancel {', or '.join(_listed(other) for other in others)} instead.",
        seats=alone,
        alternatives=others,
    )


def left_alone(hall: Hall, taken: Set[str], going: Set[str]) -> list[str]:
    """The seats given back that nobody could buy but one who comes alone."""
    rest = taken - going
    return sorted(
        seats[0]
        for run in hall.runs
        if len(run) > 1 and not going.isdisjoint(run)
        for seats in seating.stretches(run, rest)
        if len(seats) == 1 and seats[0] in going
    )


def _others(hall: Hall, taken: Set[str], going: Set[str], staying: Set[str]) -> Iterator[Seats]:
    """Seats to give back instead that leave none alone: as many, then one more that adds to those
    wanted; a few of each."""
    mine = sorted(going | staying, key=_by_number)
    for count in (len(going), len(going) + 1):
        found = 0
        for other in combinations(mine, count):
            adds = count == len(going) or going < set(other)
            if count == len(mine) or not adds or not _is_fit(hall, taken, set(other), set(mine)):
                continue
            yield other
            found += 1
            if found == TOGETHER_MAX:
                break


def _is_fit(hall: Hall, taken: Set[str], other: Set[str], mine: Set[str]) -> bool:
    """It leaves no seat alone, and no companion without the wheelchair place."""
    pairs = (hall.seats[seat].companion_of for seat in mine - other if seat in hall.seats)
    return other.isdisjoint(filter(None, pairs)) and not left_alone(hall, taken, other)


def _by_number(seat: str) -> tuple[str, int, str]:
    letters = seat.rstrip("0123456789")
    number = seat.removeprefix(letters)
    return letters, int(number or 0), seat


def _listed(seats: Sequence[str]) -> str:
    """As one says it: F5, F6 and F7."""
    *most, last = seats
    return f"{', '.join(most)} and {last}" if most else last
