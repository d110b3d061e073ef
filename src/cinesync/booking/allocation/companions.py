"""Companion seats: for whoever comes with somebody in a wheelchair, as cinemas have it. Pure.

A companion seat is sold with its wheelchair place, later to whoever has that place, and to anybody
when the show is near. A wheelchair place asks for need, and for no proof of it.
"""

from collections.abc import Collection, Mapping, Set
from datetime import timedelta
from uuid import UUID

from cinesync.booking.allocation.seating import WHEELCHAIR, Hall, Seats
from cinesync.booking.model import (
    AskNeed,
    CompanionAlone,
    HoldSeats,
    Show,
    Terms,
)

NO_PLACE = ""  # of a layout that names a companion seat of none

Owners = Mapping[tuple[UUID, str], UUID]  # customers by show and wheelchair place


def places_missing(hall: Hall, seats: Seats) -> set[str]:
    """The wheelchair places whose companion seats are wanted without them."""
    if hall.companion_of.keys().isdisjoint(seats):  # nearly always
        return set()
    places = {hall.companion_of[seat] for seat in seats if seat in hall.companion_of}
    return places.difference(seats)


def check(hall: Hall, hold: HoldSeats, show: Show, terms: Terms, owners: Owners) -> None:
    """Raises CompanionAlone, AskNeed."""
    _check_need(hall, hold)
    missing = places_missing(hall, hold.seats)
    if not missing:
        return
    released_at = show.starts_at - timedelta(minutes=terms.companion_release_minutes)
    if show.read_at >= released_at:
        return
    strange = {place for place in missing if owners.get((show.show_id, place)) != hold.customer_id}
    if strange:
        raise CompanionAlone(
            _words(hall, hold.seats, strange, terms),
            seats=[seat for seat in hold.seats if hall.companion_of.get(seat) in strange],
            with_seats=sorted(strange - {NO_PLACE}),
            released_at=released_at,
        )


def _check_need(hall: Hall, hold: HoldSeats) -> None:
    if hold.accessible_need is not False or not hall.companions:
        return
    places = [seat for seat in hold.seats if _kind(hall, seat) == WHEELCHAIR]
    if places:
        raise AskNeed(seats=places)


def _kind(hall: Hall, seat: str) -> str:
    known = hall.seats.get(seat)
    return known.kind if known else ""


def _words(hall: Hall, seats: Seats, places: Set[str], terms: Terms) -> str:
    alone = [seat for seat in seats if hall.companion_of.get(seat) in places]
    is_one = len(alone) == 1
    named = " ".join(["wheelchair place", *sorted(places - {NO_PLACE})])
    return (
        f"{', '.join(alone)} {'goes' if is_one else 'go'} with {named}. Choose both;"
        f" from {terms.companion_release_minutes} minutes before the show"
        f" {'it is' if is_one else 'they are'} sold alone."
    )


def own_after(hall: Hall, hold: HoldSeats, seats: Collection[str]) -> dict[tuple[UUID, str], UUID]:
    """The wheelchair places among seats that a customer gets, for whoever is next in a batch."""
    return {(hold.show_id, seat): hold.customer_id for seat in seats if seat in hall.companions}
