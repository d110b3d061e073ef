"""Which seats of a booking may be cancelled, and how much is refunded for them. Pure."""

from collections.abc import Collection, Iterator, Sequence, Set
from itertools import combinations
from typing import NamedTuple

from cinesync.booking.allocation import seating
from cinesync.booking.allocation.seating import COMPANION, SeatingPlan, Seats
from cinesync.booking.model import Booking, CompanionAlone, GapLeft, PricedSeat, RuleBroken

SUGGESTIONS_MAX = 3


class NotInBooking(RuleBroken):
    """This booking has no such seat."""

    rule = "not_in_booking"


class AlreadyAdmitted(RuleBroken):
    """Somebody went in with this ticket."""

    rule = "admitted"


class SeatPartition(NamedTuple):
    """The seats of a booking that are cancelled, and those that remain."""

    cancelled: Sequence[PricedSeat]
    remaining: Sequence[PricedSeat]


def partition_of(booking: Booking, wanted: Sequence[str]) -> SeatPartition:
    """Cancels the seats named, or all; seats that were cancelled before are ignored. Raises
    NotInBooking."""
    if not wanted:
        return SeatPartition(booking.seats, ())
    known = {*booking.seat_names, *(priced.seat for priced in booking.cancelled_seats)}
    unknown = [seat for seat in wanted if seat not in known]
    if unknown:
        raise NotInBooking(f"There is no {', '.join(unknown)} in it.", seats=unknown)
    cancelled = [priced for priced in booking.seats if priced.seat in wanted]
    return SeatPartition(
        cancelled, [priced for priced in booking.seats if priced.seat not in wanted]
    )


def refund_cents_of(booking: Booking, partition: SeatPartition) -> int:
    """The price of the cancelled seats, at most what is left of the booking's money; with the last
    seats, all that is left."""
    left_cents = booking.total_cents - booking.refund_cents
    if not partition.remaining:
        return left_cents
    return min(sum(priced.price_cents for priced in partition.cancelled), left_cents)


def check(plan: SeatingPlan, taken: Collection[str], partition: SeatPartition) -> None:
    """What remains must be a valid selection; a whole booking can always be cancelled.

    `taken` are all seats that are not free, with this booking's. Raises CompanionAlone, GapLeft.
    """
    cancelled = {priced.seat for priced in partition.cancelled}
    remaining = {priced.seat for priced in partition.remaining}
    if not cancelled or not remaining:
        return
    _check_companions(plan, cancelled, remaining)
    _check_gaps(plan, frozenset(taken) | cancelled, cancelled, remaining)


def _check_companions(plan: SeatingPlan, cancelled: Set[str], remaining: Set[str]) -> None:
    alone = {
        seat: place
        for seat in sorted(remaining)
        if seat in plan.seats
        and plan.seats[seat].kind == COMPANION
        and (place := plan.seats[seat].companion_of) in cancelled
    }
    if alone:
        together = sorted({*alone, *(place for place in alone.values() if place)})
        raise CompanionAlone(
            f"{', '.join(alone)} goes with wheelchair place {', '.join(sorted(cancelled))}:"
            f" cancel {_listed(together)} together.",
            seats=list(alone),
            alternatives=[together],
        )


def _check_gaps(
    plan: SeatingPlan, taken: Set[str], cancelled: Set[str], remaining: Set[str]
) -> None:
    """Refused if other seats of this booking could be cancelled without leaving a single free one;
    allowed where there are none, because nobody must pay for a seat to fill a row."""
    alone = left_alone(plan, taken, cancelled)
    if not alone:
        return
    others = list(_others(plan, taken, cancelled, remaining))
    if not any(len(other) == len(cancelled) for other in others):
        return
    raise GapLeft(
        f"{', '.join(alone)} would be left on its own between taken seats."
        f" Cancel {', or '.join(_listed(other) for other in others)} instead.",
        seats=alone,
        alternatives=others,
    )


def left_alone(plan: SeatingPlan, taken: Set[str], cancelled: Set[str]) -> list[str]:
    """The cancelled seats that only a single person could buy."""
    rest = taken - cancelled
    return sorted(
        seats[0]
        for run in plan.runs
        if len(run) > 1 and not cancelled.isdisjoint(run)
        for seats in seating.stretches(run, rest)
        if len(seats) == 1 and seats[0] in cancelled
    )


def _others(
    plan: SeatingPlan, taken: Set[str], cancelled: Set[str], remaining: Set[str]
) -> Iterator[Seats]:
    """Seats to cancel instead that leave none alone: first as many, then the requested ones plus
    one; a few of each."""
    mine = sorted(cancelled | remaining, key=_by_number)
    for count in (len(cancelled), len(cancelled) + 1):
        found = 0
        for other in combinations(mine, count):
            adds = count == len(cancelled) or cancelled < set(other)
            if count == len(mine) or not adds or not _is_fit(plan, taken, set(other), set(mine)):
                continue
            yield other
            found += 1
            if found == SUGGESTIONS_MAX:
                break


def _is_fit(plan: SeatingPlan, taken: Set[str], other: Set[str], mine: Set[str]) -> bool:
    """Whether cancelling `other` leaves no seat alone, and no companion seat without its place."""
    pairs = (plan.seats[seat].companion_of for seat in mine - other if seat in plan.seats)
    return other.isdisjoint(filter(None, pairs)) and not left_alone(plan, taken, other)


def _by_number(seat: str) -> tuple[str, int, str]:
    letters = seat.rstrip("0123456789")
    number = seat.removeprefix(letters)
    return letters, int(number or 0), seat


def _listed(seats: Sequence[str]) -> str:
    """F5, F6 and F7."""
    *most, last = seats
    return f"{', '.join(most)} and {last}" if most else last
