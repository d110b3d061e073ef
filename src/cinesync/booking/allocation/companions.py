"""Companion seats: for people who come with somebody in a wheelchair. Pure.

A companion seat is sold together with its wheelchair place, or later to the customer who has that
place. Shortly before the show it is sold to anybody. For a wheelchair place the customer says that
somebody needs it; nobody asks for a proof.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from cinesync.booking.allocation.seating import WHEELCHAIR, SeatingPlan, Seats
from cinesync.booking.model import (
    AskNeed,
    CompanionAlone,
    HoldSeats,
    Show,
    Terms,
)

NO_PLACE = ""  # a companion seat whose layout names no wheelchair place

Owners = Mapping[tuple[UUID, str], UUID]  # customers by show and wheelchair place


def places_missing(plan: SeatingPlan, seats: Seats) -> set[str]:
    """The wheelchair places that `seats` lacks although it has their companion seats."""
    if plan.companion_of.keys().isdisjoint(seats):  # nearly always
        return set()
    places = {plan.companion_of[seat] for seat in seats if seat in plan.companion_of}
    return places.difference(seats)


def check(plan: SeatingPlan, hold: HoldSeats, show: Show, terms: Terms, owners: Owners) -> None:
    """Raises CompanionAlone, AskNeed."""
    _check_need(plan, hold)
    missing = places_missing(plan, hold.selection.seats)
    if not missing:
        return
    released_at = show.starts_at - timedelta(minutes=terms.companion_release_minutes)
    if show.read_at >= released_at:
        return
    foreign = {place for place in missing if owners.get((show.show_id, place)) != hold.customer_id}
    if foreign:
        alone = [seat for seat in hold.selection.seats if plan.companion_of.get(seat) in foreign]
        places = sorted(foreign - {NO_PLACE})
        raise CompanionAlone(
            _detail(alone, places, terms), seats=alone, with_seats=places, released_at=released_at
        )


def _check_need(plan: SeatingPlan, hold: HoldSeats) -> None:
    if hold.accessible_need is not False or not plan.companions:
        return
    places = [
        seat
        for seat in hold.selection.seats
        if seat in plan.seats and plan.seats[seat].kind == WHEELCHAIR
    ]
    if places:
        raise AskNeed(seats=places)


def _detail(alone: Sequence[str], places: Sequence[str], terms: Terms) -> str:
    is_one = len(alone) == 1
    named = " ".join(["wheelchair place", *places])
    return (
        f"{', '.join(alone)} {'goes' if is_one else 'go'} with {named}. Choose both;"
        f" from {terms.companion_release_minutes} minutes before the show"
        f" {'it is' if is_one else 'they are'} sold alone."
    )


def own_after(
    plan: SeatingPlan, hold: HoldSeats, seats: Collection[str]
) -> dict[tuple[UUID, str], UUID]:
    """The wheelchair places among a customer's new seats, by show and seat, with their owner."""
    return {(hold.show_id, seat): hold.customer_id for seat in seats if seat in plan.companions}
