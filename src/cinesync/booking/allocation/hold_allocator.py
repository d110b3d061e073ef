"""Decides a batch of holds in memory, in arrival order: pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec

from cinesync.booking import model
from cinesync.booking.allocation import choice, companions
from cinesync.booking.allocation.seating import Hall
from cinesync.booking.held_limits import HeldLimits
from cinesync.booking.model import (
    Booking,
    BookingError,
    HoldSeats,
    PricedSeat,
    SeatTaken,
    Show,
    Terms,
    UnknownShow,
)


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

    `halls` are by layout, `taken` by show. `owners` have the wheelchair places whose companion
    seats are asked for.
    """

    shows: Mapping[UUID, Show]
    halls: Mapping[UUID, Hall]
    taken: dict[UUID, set[str]]
    held: HeldLimits
    owners: dict[tuple[UUID, str], UUID]
    terms: Terms

    def decide(self, hold: HoldSeats) -> Pick | BookingError:
        """The next in the queue gets seats, or hears why not."""
        try:
            return self._pick(hold)
        except BookingError as refusal:
            return refusal

    def decide_change(self, hold: HoldSeats, booking: Booking) -> Pick | BookingError:
        """The same for seats instead of those that `booking` holds; what it gives back is nobody
        else's before the database has it."""
        taken = self.taken.get(hold.show_id, set())
        own = {priced.seat: priced for priced in booking.seats}
        taken.difference_update(own)
        try:
            return self._pick_instead(hold, own)
        except BookingError as refusal:
            return refusal
        finally:
            taken.update(own)

    def _pick_instead(self, hold: HoldSeats, own: Mapping[str, PricedSeat]) -> Pick:
        show = self._on_sale(hold.show_id)
        taken = self.taken[show.show_id]
        hall = self.halls[show.layout_id]
        seats = choice.choose(hall, taken, hold.seats, hold.best, hold.zone)
        if hall.companions:
            owners = {key: who for key, who in self.owners.items() if key[1] not in own}
            companions.check(hall, hold, show, self.terms, owners)
        more = len(seats) - len(own)
        if more > 0:
            self.held.check_more(hold, more, show.read_at)
        priced = [
            min(now, own.get(now.seat, now), key=lambda one: one.price_cents)
            for now in model.price(show, [(seat, hall.seats[seat].zone) for seat in seats])
        ]
        if hold.seen is not None:
            model.refuse_if_changed(hold.seen, show, priced)
        taken.update(seats)
        self.held.add(hold, max(more, 0))
        return Pick(hold, show, priced)

    def _on_sale(self, show_id: UUID) -> Show:
        show = self.shows.get(show_id)
        if show is None:
            raise UnknownShow
        refusal = show.refuse_sale(self.terms)
        if refusal is not None:
            raise refusal
        return show

    def _pick(self, hold: HoldSeats) -> Pick:
        show = self._on_sale(hold.show_id)
        taken = self.taken[show.show_id]
        hall = self.halls[show.layout_id]
        seats = choice.choose(hall, taken, hold.seats, hold.best, hold.zone)
        if hall.companions:
            companions.check(hall, hold, show, self.terms, self.owners)
        self.held.check(hold, len(seats), show.read_at)
        priced = model.price(show, [(seat, hall.seats[seat].zone) for seat in seats])
        if hold.seen is not None:
            model.refuse_if_changed(hold.seen, show, priced)
        taken.update(seats)
        self.owners.update(companions.own_after(hall, hold, seats))
        self.held.add(hold, len(seats))
        return Pick(hold, show, priced)

    def lost(self, pick: Pick, gone: list[str]) -> SeatTaken:
        """The answer to a pick that somebody else was faster with."""
        taken = self.taken[pick.show.show_id]
        wanted = [priced.seat for priced in pick.seats]
        return choice.seat_taken(self.halls[pick.show.layout_id], taken, wanted, gone)
