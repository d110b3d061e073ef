"""Decides a batch of holds in memory, in arrival order: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec

from cinesync.booking import model, seating
from cinesync.booking.held_limits import HeldLimits
from cinesync.booking.model import (
    BookingError,
    HoldSeats,
    PricedSeat,
    SeatTaken,
    Show,
    Terms,
    UnknownShow,
)
from cinesync.booking.seating import Hall


class Pick(msgspec.Struct, frozen=True):
    """The seats that a wish gets if the database agrees."""

    hold: HoldSeats
    show: Show
    seats: list[PricedSeat]

    @property
    def total_cents(self) -> int:
        return sum(priced.price_cents for priced in self.seats)


@dataclass(frozen=True, slots=True)
class Counter:
    """What was true when the batch began, and what it has given away since.

    `halls` are by layout, `taken` by show.
    """

    shows: Mapping[UUID, Show]
    halls: Mapping[UUID, Hall]
    taken: dict[UUID, set[str]]
    held: HeldLimits
    terms: Terms

    def decide(self, hold: HoldSeats) -> Pick | BookingError:
        """The next in the queue gets seats, or hears why not."""
        try:
            return self._pick(hold)
        except BookingError as refusal:
            return refusal

    def _pick(self, hold: HoldSeats) -> Pick:
        show = self.shows.get(hold.show_id)
        if show is None:
            raise UnknownShow
        refusal = show.refuse_sale(self.terms)
        if refusal is not None:
            raise refusal
        taken = self.taken[show.show_id]
        hall = self.halls[show.layout_id]
        seats = seating.choose(hall, taken, hold.seats, hold.best, hold.zone)
        self.held.check(hold, len(seats), show.read_at)
        priced = model.price(show, [(seat, hall.seats[seat].zone) for seat in seats])
        taken.update(seats)
        self.held.add(hold, len(seats))
        return Pick(hold, show, priced)

    def lost(self, pick: Pick, gone: list[str]) -> SeatTaken:
        """The answer to a pick that somebody else was faster with."""
        taken = self.taken[pick.show.show_id]
        wanted = [priced.seat for priced in pick.seats]
        return seating.seat_taken(self.halls[pick.show.layout_id], taken, wanted, gone)
