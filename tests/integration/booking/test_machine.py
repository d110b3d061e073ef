"""Holds, bookings, cancellations and late money in any order, against a simple model."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from cinesync.booking import service
from cinesync.booking.model import Booking, BookingError, BookingState, GapLeft
from cinesync.booking.payments import service as payments
from cinesync.booking.show_changes import service as show_changes
from tests.conftest import MakeDatabase
from tests.support.booking import BookingHarness, called_off, paid, row, scheduled

T = TypeVar("T")

# Of six seats, taken so that the gap rule has no say until single seats are given back.
PARTIES = [("A1", "A2"), ("A3", "A4"), ("A5", "A6"), ("A1", "A2", "A3", "A4")]
SETTINGS = settings(
    max_examples=12,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@dataclass(eq=False)
class Party:
    """What the model knows of one hold: does it have its seats now, and who paid for it?"""

    booking: Booking
    has_seats: bool = True
    paid_with: UUID | None = None
    is_cancelled: bool = False

    @property
    def is_booked(self) -> bool:
        return self.paid_with is not None and not self.is_cancelled


class BoxOfficeMachine(RuleBasedStateMachine):
    """Each rule does one thing to the database and the same to the model."""

    harness: ClassVar[BookingHarness]
    loop: ClassVar[asyncio.AbstractEventLoop]

    parties: Bundle[Party] = Bundle("parties")

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    @initialize()
    def open(self) -> None:
        self.show = self.run(self.harness.schedule(scheduled(row("A", 6))))
        self.everybody: list[Party] = []
        self.payments: set[UUID] = set()
        self.refunds: set[UUID] = set()
        self.is_off = False
        self.is_uneven = False

    def seated(self) -> dict[str, Party]:
        return {
            seat: party
            for party in self.everybody
            if party.has_seats
            for seat in party.booking.seat_names
        }

    @rule(target=parties, seats=st.sampled_from(PARTIES))
    def hold(self, seats: tuple[str, ...]) -> Any:
        can = not self.is_off and self.seated().keys().isdisjoint(seats)
        try:
            party = Party(self.run(self.harness.hold(self.show, *seats)))
        except GapLeft:
            assert self.is_uneven
            return multiple()
        except BookingError:
            assert not can
            return multiple()
        assert can
        self.everybody.append(party)
        return party

    @rule(party=parties)
    def time_passes(self, party: Party) -> None:
        if party.paid_with is None and party.has_seats:
            self.run(self.harness.expire_holds(party.booking))
            party.has_seats = False

    @rule()
    def expire(self) -> None:
        self.run(self.harness.db.run(service.expire_holds, 60, 100))

    @rule(party=parties)
    def release(self, party: Party) -> None:
        try:
            self.run(self.harness.release(party.booking))
        except BookingError:
            assert party.paid_with is not None
            return
        assert party.paid_with is None
        party.has_seats = False

    @rule(party=parties)
    def pay(self, party: Party) -> None:
        seats = party.booking.seat_names
        can_have_them = party.has_seats or self.seated().keys().isdisjoint(seats)
        payment = self.run(self.harness.pay(party.booking))
        self.payments.add(payment.payment_id)
        if party.paid_with is None and not self.is_off and can_have_them:
            party.paid_with, party.has_seats = payment.payment_id, True
        else:
            self.refunds.add(payment.payment_id)

    @rule(party=parties)
    def hear_of_a_payment_again(self, party: Party) -> None:
        if party.paid_with is not None:
            again = paid(party.booking, payment_id=party.paid_with)
            self.run(self.harness.db.run(payments.confirm_bookings, [again]))

    @rule(party=parties)
    def cancel(self, party: Party) -> None:
        try:
            self.run(self.harness.cancel(party.booking))
        except BookingError:
            assert party.paid_with is None
            return
        self._give_money_back(party)

    @rule(party=parties, last=st.booleans())
    def give_one_seat_back(self, party: Party, *, last: bool) -> None:
        seats = party.booking.seat_names
        seat = seats[-1] if last else seats[0]
        try:
            after, _ = self.run(self.harness.give_back(party.booking, seat))
        except GapLeft:
            assert party.is_booked
            assert len(seats) > 1
            return
        except BookingError:
            assert party.paid_with is None
            return
        if after.state is BookingState.CANCELLED:
            self._give_money_back(party)
        else:
            party.booking = after
            self.is_uneven = True

    @rule(chance=st.integers(0, 9))
    def call_off(self, chance: int) -> None:
        if chance == 0:
            self.run(self.harness.db.run(show_changes.cancel_shows, [called_off(self.show)]))
            self.is_off = True
            for party in self.everybody:
                self._give_money_back(party)

    def _give_money_back(self, party: Party) -> None:
        party.has_seats = False
        if party.paid_with is not None:
            party.is_cancelled = True
            self.refunds.add(party.paid_with)

    @invariant()
    def each_seat_is_whose_the_model_says(self) -> None:
        rows = self.run(self.harness.seat_rows(self.show))
        seated = self.seated()
        for seat, party in seated.items():
            state = "booked" if party.is_booked else "held"
            assert rows[seat] == (party.booking.booking_id, state)
        booked = {seat for seat, (_, state) in rows.items() if state == "booked"}
        assert booked == {seat for seat, party in seated.items() if party.is_booked}

    @invariant()
    def each_payment_is_a_booking_or_goes_back_once(self) -> None:
        emitted = self.run(self._money_back())
        assert len(emitted) == len(set(emitted))
        assert self.payments.intersection(emitted) == self.refunds

    @invariant()
    def what_a_booking_stands_for_is_what_its_seats_cost(self) -> None:
        for party in self.everybody:
            if party.is_booked:
                found = self.run(self.harness.find(party.booking.booking_id))
                remaining = sum(priced.price_cents for priced in found.seats)
                assert found.total_cents - found.refund_cents == remaining
        reduced = self.run(self.harness.events("booking.reduced"))
        seats = [(event.booking_id, seat) for event in reduced for seat in event.seats]
        assert len(seats) == len(set(seats))

    async def _money_back(self) -> list[UUID]:
        refused = await self.harness.events("booking.refused")
        cancelled = await self.harness.events("booking.cancelled")
        return [event.payment_id for event in (*refused, *cancelled)]


async def test_any_history_agrees_with_the_model(make_database: MakeDatabase) -> None:
    BoxOfficeMachine.harness = BookingHarness(await make_database("booking"))
    BoxOfficeMachine.loop = asyncio.get_running_loop()
    await asyncio.to_thread(run_state_machine_as_test, BoxOfficeMachine, settings=SETTINGS)
