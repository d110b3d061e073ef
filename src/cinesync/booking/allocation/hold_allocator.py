"""Decides a batch of holds in memory, in arrival order. Pure.

The allocator starts from what one read found at the start of the batch: shows, seating plans, taken
seats, held seats that count toward limits, and who has the wheelchair places in question. Every
allocation changes that picture, so the next command of the batch sees it: two commands of one batch
never get the same seat, and their seats count together toward the limits.

An allocation is a proposal. Other processes allocate at the same time from the same database; the
primary key of `booking_seats` decides when the rows are claimed (`service.hold_seats`). A command
that loses there gets `seat_taken`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec

from cinesync.booking import model
from cinesync.booking.allocation import choice, companions
from cinesync.booking.allocation.seating import SeatingPlan
from cinesync.booking.held_limits.rules import HeldLimits
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


class Allocation(msgspec.Struct, frozen=True):
    """The seats that a command gets if the database agrees."""

    hold: HoldSeats
    show: Show
    seats: list[PricedSeat]

    @property
    def total_cents(self) -> int:
        return sum(priced.price_cents for priced in self.seats)


@dataclass(frozen=True, slots=True)
class HoldAllocator:
    """State of one batch: `plans` by layout, `taken` seats by show, `owners` of wheelchair places
    by show and seat."""

    shows: Mapping[UUID, Show]
    plans: Mapping[UUID, SeatingPlan]
    taken: dict[UUID, set[str]]
    held: HeldLimits
    owners: dict[tuple[UUID, str], UUID]
    terms: Terms

    def allocate(self, hold: HoldSeats) -> Allocation | BookingError:
        """Seats for the next command of the batch, or why it gets none."""
        try:
            return self._allocate(hold)
        except BookingError as refusal:
            return refusal

    def reallocate(self, hold: HoldSeats, booking: Booking) -> Allocation | BookingError:
        """Seats instead of those of `booking`. Its old seats stay taken for the rest of the batch:
        they are free only after the commit."""
        taken = self.taken.get(hold.show_id, set())
        own = {priced.seat: priced for priced in booking.seats}
        taken.difference_update(own)
        try:
            return self._reallocate(hold, own)
        except BookingError as refusal:
            return refusal
        finally:
            taken.update(own)

    def seat_taken(self, allocation: Allocation, gone: list[str]) -> SeatTaken:
        """The refusal for an allocation that lost the seats `gone` in the database."""
        taken = self.taken[allocation.show.show_id]
        wanted = [priced.seat for priced in allocation.seats]
        return choice.seat_taken(self.plans[allocation.show.layout_id], taken, wanted, gone)

    def _allocate(self, hold: HoldSeats) -> Allocation:
        show = self._on_sale(hold.show_id)
        taken = self.taken[show.show_id]
        plan = self.plans[show.layout_id]
        seats = choice.choose(plan, taken, hold.selection)
        if plan.companions:
            companions.check(plan, hold, show, self.terms, self.owners)
        self.held.check(hold, len(seats), show.read_at)
        priced = model.price(show, [(seat, plan.seats[seat].zone) for seat in seats])
        if hold.seen is not None:
            model.refuse_if_changed(hold.seen, show, priced)
        taken.update(seats)
        self.owners.update(companions.own_after(plan, hold, seats))
        self.held.add(hold, len(seats))
        return Allocation(hold, show, priced)

    def _reallocate(self, hold: HoldSeats, own: Mapping[str, PricedSeat]) -> Allocation:
        show = self._on_sale(hold.show_id)
        taken = self.taken[show.show_id]
        plan = self.plans[show.layout_id]
        seats = choice.choose(plan, taken, hold.selection)
        if plan.companions:
            owners = {key: who for key, who in self.owners.items() if key[1] not in own}
            companions.check(plan, hold, show, self.terms, owners)
        more = len(seats) - len(own)
        if more > 0:
            self.held.check_more(hold, more, show.read_at)
        priced = [
            min(now, own.get(now.seat, now), key=lambda one: one.price_cents)
            for now in model.price(show, [(seat, plan.seats[seat].zone) for seat in seats])
        ]
        if hold.seen is not None:
            model.refuse_if_changed(hold.seen, show, priced)
        taken.update(seats)
        self.held.add(hold, max(more, 0))
        return Allocation(hold, show, priced)

    def _on_sale(self, show_id: UUID) -> Show:
        show = self.shows.get(show_id)
        if show is None:
            raise UnknownShow
        refusal = show.refuse_sale(self.terms)
        if refusal is not None:
            raise refusal
        return show
