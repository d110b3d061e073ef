"""Builders of layouts, shows, commands and events, and a harness that runs commands of booking."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from cinesync.booking import service, store
from cinesync.booking.cancellation.service import Cancelled, CancelSeats, cancel_seats
from cinesync.booking.held_limits.client_digests import ClientDigests
from cinesync.booking.model import Booking, BookingError, HoldSeats, SeatSelection, Terms
from cinesync.booking.payments import service as payments
from cinesync.booking.service import BatchRefused, Held, HoldResult
from cinesync.booking.show_changes import service as show_changes
from cinesync.booking.shows.cache import ShowCache
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.messaging.event import decode
from cinesync.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    BookingReduced,
    BookingRefused,
    BookingRescheduled,
    SeatsHeld,
    SeatsReleased,
    ShowRefundBegun,
)
from cinesync.contracts.movies import Layout, LayoutSeat, ShowCancelled, ShowChanged, ShowScheduled
from cinesync.contracts.payment import PaymentFailed, PaymentRefunded, PaymentSuccess

REGION = "eu-west"
CLIENTS = ClientDigests(ClientAddresses("", "a secret"), "a secret")
BOOKING_EVENTS = {
    event.name: event
    for event in (
        SeatsHeld,
        SeatsReleased,
        BookingConfirmed,
        BookingCancelled,
        BookingReduced,
        BookingRefused,
        BookingRescheduled,
        ShowRefundBegun,
    )
}


def row(
    name: str,
    count: int,
    *,
    y: float = 0.0,
    zone: str = "standard",
    kind: str = "standard",
    first: int = 1,
    run: int = 0,
) -> list[LayoutSeat]:
    """Seats side by side: F1, F2, …"""
    return [
        LayoutSeat(
            seat=f"{name}{number}",
            row=name,
            number=number,
            zone=zone,
            kind=kind,
            x=float(number),
            y=y,
            run=run,
        )
        for number in range(first, first + count)
    ]


def accessible(
    name: str, *, x: float = 0.0, y: float = 9.0, companions: int = 1
) -> list[LayoutSeat]:
    """A wheelchair place W1 with companion seats W1a, W1b, …"""
    place = LayoutSeat(seat=name, row=name, number=1, zone="standard", kind="wheelchair", x=x, y=y)
    beside = [
        LayoutSeat(
            seat=f"{name}{'abc'[index]}",
            row=name,
            number=2 + index,
            zone="standard",
            kind="companion",
            x=x + 1 + index,
            y=y,
            companion_of=name,
        )
        for index in range(companions)
    ]
    return [place, *beside]


def layout_seats() -> list[LayoutSeat]:
    """Three rows of eight, the last one dearer, and two wheelchair places."""
    return [
        *row("A", 8, y=0),
        *row("B", 8, y=1),
        *row("C", 8, y=2, zone="premium"),
        *accessible("W1", x=1, y=3),
        *accessible("W2", x=7, y=3),
    ]


def scheduled(
    seats: Sequence[LayoutSeat] | None = None, *, starts_in_minutes: float = 24 * 60, **changes: Any
) -> ShowScheduled:
    """A show tomorrow at this time."""
    starts_at = clock.now() + timedelta(minutes=starts_in_minutes)
    fields: dict[str, Any] = {
        "event_id": clock.new_id(),
        "occurred_at": clock.now(),
        "show_id": clock.new_id(),
        "region": REGION,
        "movie_id": clock.new_id(),
        "movie_title": "The General",
        "theater_id": clock.new_id(),
        "theater_name": "Kino Central",
        "city": "Vienna",
        "time_zone": "Europe/Vienna",
        "auditorium_name": "Saal 1",
        "starts_at": starts_at,
        "ends_at": starts_at + timedelta(minutes=120),
        "format": "2D",
        "language": "en",
        "currency": "EUR",
        "prices_cents": {"standard": 1000, "premium": 1500},
        "layout": Layout(layout_id=clock.new_id(), seats=seats or layout_seats()),
    }
    return ShowScheduled(**(fields | changes))


def changed(show: ShowScheduled, revision: int, **changes: Any) -> ShowChanged:
    """The show at another time or price."""
    fields: dict[str, Any] = {
        "event_id": clock.new_id(),
        "occurred_at": clock.now(),
        "show_id": show.show_id,
        "region": show.region,
        "revision": revision,
        "starts_at": show.starts_at,
        "ends_at": show.ends_at,
        "prices_cents": show.prices_cents,
    }
    return ShowChanged(**(fields | changes))


def called_off(show: ShowScheduled) -> ShowCancelled:
    """The projector broke."""
    return ShowCancelled(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        show_id=show.show_id,
        region=show.region,
        reason="projector",
    )


@dataclass
class BookingHarness:
    """Runs commands of booking against a real database."""

    db: Database
    terms: Terms = field(default_factory=Terms)
    show_cache: ShowCache = field(default_factory=ShowCache)

    async def schedule(self, *shows: ShowScheduled) -> ShowScheduled:
        await self.db.run(show_changes.schedule_shows, shows)
        return shows[0]

    async def try_hold(self, *holds: HoldSeats) -> list[HoldResult]:
        try:
            return await self.db.run(service.hold_seats, holds, self.show_cache, self.terms)
        except BatchRefused as refused:
            return refused.results

    async def hold(self, show: ShowScheduled, *seats: str, **wanted: Any) -> Booking:
        """Raises the refusal."""
        [result] = await self.try_hold(hold_command(show, *seats, **wanted))
        if isinstance(result, BookingError):
            raise result
        return await self.find(result.allocation.hold.hold_id)

    async def find(self, booking_id: UUID) -> Booking:
        found = await self.db.read(store.find_booking, booking_id)
        assert found is not None
        return found

    async def pay(self, booking: Booking, **changes: Any) -> PaymentSuccess:
        payment = paid(booking, **changes)
        await self.db.run(payments.confirm_bookings, [payment])
        return payment

    async def release(self, booking: Booking) -> list[SeatsReleased]:
        return await self.db.run(service.release_hold, booking.booking_id, booking.customer_id)

    async def extend(self, booking: Booking) -> tuple[Booking, list[SeatsHeld]]:
        return await self.db.run(
            service.extend_hold, booking.booking_id, booking.customer_id, self.terms
        )

    async def cancel(self, booking: Booking) -> Cancelled:
        return await self.give_back(booking)

    async def give_back(self, booking: Booking, *seats: str) -> Cancelled:
        command = CancelSeats(
            booking_id=booking.booking_id, customer_id=booking.customer_id, seats=seats
        )
        return await self.db.run(cancel_seats, command, self.show_cache, self.terms)

    async def expire_holds(self, booking: Booking) -> None:
        """Let the database's clock pass the end of a hold."""
        await self.execute(
            "UPDATE bookings SET expires_at = now() - interval '1 hour' WHERE booking_id = :id",
            id=booking.booking_id,
        )
        await self.execute(
            "UPDATE booking_seats SET held_until = now() - interval '1 hour'"
            " WHERE booking_id = :id",
            id=booking.booking_id,
        )

    async def start_in(self, show: ShowScheduled, minutes: float) -> None:
        """Bring a show so near."""
        starts_at = clock.now() + timedelta(minutes=minutes)
        ends_at = starts_at + timedelta(minutes=120)
        await self.execute(
            "UPDATE shows SET starts_at = :starts_at, ends_at = :ends_at, revision = revision + 1"
            " WHERE show_id = :id",
            id=show.show_id,
            starts_at=starts_at,
            ends_at=ends_at,
        )

    async def execute(self, statement: str, **parameters: Any) -> None:
        async def command(tx: Transaction) -> None:
            await tx.execute(text(statement), parameters)

        await self.db.run(command)

    async def seat_rows(self, show: ShowScheduled) -> dict[str, tuple[UUID, str]]:
        """Who has each seat, and whether it is held or booked."""

        async def query(tx: Transaction) -> dict[str, tuple[UUID, str]]:
            rows = await tx.execute(
                text("SELECT seat, booking_id, state FROM booking_seats WHERE show_id = :id"),
                {"id": show.show_id},
            )
            return {found.seat: (found.booking_id, found.state) for found in rows}

        return await self.db.read(query)

    async def events(self, name: str) -> list[Any]:
        """The events of one name in the outbox, in order."""

        async def query(tx: Transaction) -> list[Any]:
            rows = await tx.execute(
                text("SELECT body FROM outbox WHERE name = :name ORDER BY occurred_at"),
                {"name": name},
            )
            return [decode(BOOKING_EVENTS[name], bytes(found.body)) for found in rows]

        return await self.db.read(query)


def hold_command(
    show: ShowScheduled,
    *seats: str,
    customer_id: UUID | None = None,
    best: int = 0,
    zone: str | None = None,
    **who: Any,
) -> HoldSeats:
    """HoldSeats of a customer with an e-mail and an address of their own."""
    customer_id = customer_id or clock.new_id()
    fields = {"is_guest": False, "email_key": customer_id, "address_key": clock.new_id(), **who}
    return HoldSeats(
        hold_id=clock.new_id(),
        customer_id=customer_id,
        **fields,
        show_id=show.show_id,
        selection=SeatSelection(seats, best, zone),
    )


def paid(booking: Booking, **changes: Any) -> PaymentSuccess:
    """The provider captured what the hold costs."""
    fields: dict[str, Any] = {
        "event_id": clock.new_id(),
        "occurred_at": clock.now(),
        "payment_id": clock.new_id(),
        "hold_id": booking.booking_id,
        "customer_id": booking.customer_id,
        "amount_cents": booking.total_cents,
        "currency": booking.currency,
        "provider": "sandbox",
    }
    return PaymentSuccess(**(fields | changes))


def failed(booking: Booking) -> PaymentFailed:
    """The bank said no."""
    return PaymentFailed(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        payment_id=clock.new_id(),
        hold_id=booking.booking_id,
        customer_id=booking.customer_id,
        reason="card_declined",
    )


def refunded(
    payment: PaymentSuccess,
    amount_cents: int | None = None,
    *,
    surplus: bool = False,
    unasked_cents: int = 0,
    reason: str = "customer",
) -> PaymentRefunded:
    """The money, or a part of it, went back."""
    return PaymentRefunded(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        refund_id=clock.new_id(),
        payment_id=payment.payment_id,
        hold_id=payment.hold_id,
        customer_id=payment.customer_id,
        amount_cents=payment.amount_cents if amount_cents is None else amount_cents,
        currency=payment.currency,
        reason=reason,
        surplus=surplus,
        unasked_cents=unasked_cents,
    )


def seats_of(result: HoldResult) -> list[str]:
    """The seats of a hold that was made."""
    assert isinstance(result, Held), result
    return [priced.seat for priced in result.allocation.seats]
