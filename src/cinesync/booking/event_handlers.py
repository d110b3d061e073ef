"""What other services' events do to bookings: exactly once, in any order. HANDLERS is the map."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from cinesync.booking import (
    cancellation,
    cancellation_store,
    held_seats_store,
    history_store,
    personal_data,
    receipt_store,
    rescheduling,
    returned_money,
    service,
    show_refunds,
    show_store,
    store,
)
from cinesync.booking.model import (
    NEXT,
    Booking,
    Cause,
    Show,
    State,
    Verdict,
    judge,
    states_before,
)
from cinesync.booking.store import BOOKED, Claim
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.event import Event
from cinesync.chassis.messaging.inbox import Handlers
from cinesync.contracts.auth import CustomerErased
from cinesync.contracts.booking import BookingConfirmed, BookingRefused, SeatsReleased
from cinesync.contracts.ledger import LedgerCommitted
from cinesync.contracts.movies import ShowCancelled, ShowChanged, ShowScheduled
from cinesync.contracts.payment import (
    PaymentDisputed,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentSuccess,
)


@dataclass(slots=True)
class _Desk:
    """The bookings and shows of a batch of payments as they stand, and what is to be told."""

    bookings: dict[UUID, Booking]
    shows: dict[UUID, Show]
    refused_ids: set[UUID] = field(default_factory=set)
    confirmed: list[BookingConfirmed] = field(default_factory=list)
    refused: list[BookingRefused] = field(default_factory=list)

    def judge(self, payment: PaymentSuccess) -> Verdict:
        if payment.payment_id in self.refused_ids:
            return Verdict.KNOWN
        booking = self.bookings.get(payment.hold_id)
        return judge(payment, booking, self.shows.get(booking.show_id) if booking else None)

    def is_plain(self, payment: PaymentSuccess) -> bool:
        """It pays a live hold: no payment of that one can have been refused for good."""
        booking = self.bookings.get(payment.hold_id)
        is_live = booking is not None and booking.status is State.HELD
        return is_live and self.judge(payment) is Verdict.CONFIRM

    def confirm(self, payment: PaymentSuccess) -> None:
        booking = self.bookings[payment.hold_id]
        self.confirmed.append(_confirmed(booking, payment))
        self.bookings[payment.hold_id] = booking.paid(payment.payment_id)

    def refuse(self, payment: PaymentSuccess, verdict: Verdict) -> None:
        self.refused_ids.add(payment.payment_id)
        self.refused.append(_refused(payment, verdict))


async def confirm_bookings(tx: Transaction, payments: Sequence[PaymentSuccess]) -> None:
    """Money came: a live hold is confirmed; one that is over gets the same seats if they are
    free; all else goes back (I5)."""
    bookings = await store.lock_bookings(tx, [payment.hold_id for payment in payments])
    shows = await show_store.find_shows(tx, [booking.show_id for booking in bookings.values()])
    desk = _Desk(dict(bookings), dict(shows))
    doubtful = [payment.payment_id for payment in payments if not desk.is_plain(payment)]
    if doubtful:
        desk.refused_ids = await history_store.refused_ids(tx, doubtful)
    waiting = list(payments)
    while waiting:
        waiting = await _settle(tx, desk, waiting)
    if desk.refused:
        await history_store.insert_refused(tx, desk.refused)
    await outbox.append(tx, [*desk.confirmed, *desk.refused])


async def _settle(
    tx: Transaction, desk: _Desk, payments: Sequence[PaymentSuccess]
) -> list[PaymentSuccess]:
    """Settle as many as do not want each other's seats; the rest, in order, for the next round."""
    wanted: set[tuple[UUID, str]] = set()
    trying: dict[UUID, PaymentSuccess] = {}
    later: list[PaymentSuccess] = []
    for payment in payments:
        verdict = desk.judge(payment)
        if verdict is Verdict.CONFIRM:
            seats = _seat_keys(desk.bookings[payment.hold_id])
            if wanted.isdisjoint(seats):
                trying[payment.hold_id] = payment
            else:
                later.append(payment)
            wanted |= seats
        elif verdict is not Verdict.KNOWN:
            desk.refuse(payment, verdict)
    if trying:
        await _book(tx, desk, trying)
    return later


async def _book(tx: Transaction, desk: _Desk, trying: dict[UUID, PaymentSuccess]) -> None:
    """Claim the seats of each; all or none, by the primary key."""
    claims = {hold_id: store.claims_of(desk.bookings[hold_id]) for hold_id in trying}
    every = [claim for wanted in claims.values() for claim in wanted]
    claimed = await store.claim_seats(tx, every, BOOKED, 0)
    won: list[UUID] = []
    lost: list[UUID] = []
    for hold_id, wanted in claims.items():
        (won if claimed.issuperset(wanted) else lost).append(hold_id)
    undo = [claim for hold_id in lost for claim in claims[hold_id] if claim in claimed]
    if undo:
        await store.free_seats(tx, undo)
    if won:
        paid = [(desk.bookings[hold_id], trying[hold_id].payment_id) for hold_id in won]
        confirmed = await store.set_confirmed(tx, paid, states_before(Cause.PAID))
        assert confirmed == set(won), "they were locked"
    for hold_id in won:
        desk.confirm(trying[hold_id])
    for hold_id in lost:
        desk.refuse(trying[hold_id], Verdict.SEATS_GONE)


async def note_failures(tx: Transaction, failures: Sequence[PaymentFailed]) -> None:
    """The hold stays and may be paid in another way."""
    await history_store.set_payment_failures(tx, failures)


async def note_refunds(tx: Transaction, refunds: Sequence[PaymentRefunded]) -> None:
    """Money went back: of a booking, or of a refused payment."""
    theirs = [refund for refund in refunds if not refund.surplus]
    if theirs:
        await history_store.add_refunds(tx, theirs)
        await history_store.add_refused_refunds(tx, theirs)
        unasked = [refund for refund in theirs if refund.unasked_cents]
        if unasked:
            await returned_money.take_unasked(tx, unasked)


async def schedule_shows(tx: Transaction, scheduled: Sequence[ShowScheduled]) -> None:
    """Put shows on sale, with whatever overtook them on the way."""
    layouts = {event.layout.layout_id: event.layout for event in scheduled}
    fresh = await show_store.insert_layouts(tx, layouts)
    if fresh:
        await show_store.insert_seats(tx, [layouts[layout_id] for layout_id in sorted(fresh)])
    new_ids = await show_store.insert_shows(tx, scheduled)
    early = await show_store.take_early_changes(tx, new_ids) if new_ids else []
    changes = [_early_change(change) for change in early if change.revision]
    if changes:
        await show_store.update_shows(tx, changes, {})
    cancelled = [_early_cancellation(change) for change in early if change.cancelled]
    if cancelled:
        await show_store.set_cancelled(tx, cancelled)


async def change_shows(tx: Transaction, changes: Sequence[ShowChanged]) -> None:
    """New times and prices; holds and bookings keep the price they were made at."""
    newest: dict[UUID, ShowChanged] = {}
    for change in changes:
        if change.show_id not in newest or newest[change.show_id].revision < change.revision:
            newest[change.show_id] = change
    known = await show_store.find_shows(tx, newest)
    moved = {i: rescheduling.moves_after(show, newest[i]) for i, show in known.items()}
    fresh = await show_store.update_shows(tx, [newest[show_id] for show_id in known], moved)
    await rescheduling.note_moves(tx, [(known[i], newest[i]) for i in sorted(fresh)])
    early = [c for c in newest.values() if c.show_id not in known]
    if early:
        await show_store.keep_early_changes(tx, early)


async def cancel_shows(tx: Transaction, cancelled: Sequence[ShowCancelled]) -> None:
    """Nothing of these shows stays sold: bookings are refunded whole, holds let go. Those that
    staff are giving back lose their bookings in that way, and are counted there."""
    events = {event.show_id: event for event in cancelled}
    known = await show_store.find_shows(tx, events)
    early = [event for event in events.values() if event.show_id not in known]
    if early:
        await show_store.keep_early_cancellations(tx, early)
    await show_store.set_cancelled(tx, [events[show_id] for show_id in sorted(known)])
    left = sorted(known.keys() - await show_refunds.unfinished_shows(tx, list(known)))
    if left:
        told = await _clear(tx, {show_id: events[show_id] for show_id in left})
        await outbox.append(tx, told)


async def _clear(tx: Transaction, shows: dict[UUID, ShowCancelled]) -> list[Event]:
    freed = await store.clear_shows(tx, [(event.region, event.show_id) for event in shows.values()])
    keys = sorted({(claim.region, claim.booking_id) for claim in freed})
    if not keys:
        return []
    released = NEXT[State.HELD, Cause.SHOW_CANCELLED]
    released_ids = await store.set_states(tx, keys, [State.HELD], released)
    before = await store.lock_bookings(tx, [booking_id for _, booking_id in keys])
    await held_seats_store.forget(tx, keys)  # their holders did not give them back
    cancelled = await store.set_cancelled(tx, keys, [State.CONFIRMED], "show")
    refunds = {
        booking.booking_id: cancellation.whole_refund(before[booking.booking_id], reason="show")
        for booking in cancelled
    }
    if refunds:
        await cancellation_store.insert_refunds(tx, list(refunds.values()))
    return [
        *(
            service.booking_cancelled(
                booking, refunds[booking.booking_id].refund_cents, shows[booking.show_id].trace
            )
            for booking in cancelled
        ),
        *_released(freed, released_ids, shows),
    ]


def _released(
    freed: Iterable[Claim], released_ids: set[UUID], shows: dict[UUID, ShowCancelled]
) -> list[SeatsReleased]:
    seats: dict[tuple[UUID, UUID], list[str]] = {}
    for claim in sorted(freed):
        if claim.booking_id in released_ids:
            seats.setdefault((claim.show_id, claim.booking_id), []).append(claim.seat)
    return [
        SeatsReleased(
            event_id=clock.new_id(),
            occurred_at=clock.now(),
            trace=shows[show_id].trace,
            hold_id=hold_id,
            show_id=show_id,
            region=shows[show_id].region,
            seats=names,
        )
        for (show_id, hold_id), names in seats.items()
    ]


def _seat_keys(booking: Booking) -> set[tuple[UUID, str]]:
    return {(booking.show_id, seat) for seat in booking.seat_names}


def _confirmed(booking: Booking, payment: PaymentSuccess) -> BookingConfirmed:
    return BookingConfirmed(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=payment.trace,
        booking_id=booking.booking_id,
        payment_id=payment.payment_id,
        customer_id=booking.customer_id,
        show_id=booking.show_id,
        region=booking.region,
        seats=booking.seat_names,
        total_cents=booking.total_cents,
        currency=booking.currency,
        late=booking.status is not State.HELD,
    )


def _refused(payment: PaymentSuccess, verdict: Verdict) -> BookingRefused:
    return BookingRefused(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        trace=payment.trace,
        payment_id=payment.payment_id,
        hold_id=payment.hold_id,
        customer_id=payment.customer_id,
        refund_cents=payment.amount_cents,
        currency=payment.currency,
        reason=str(verdict),
    )


def _early_change(early: show_store.EarlyChange) -> ShowChanged:
    return ShowChanged(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        show_id=early.show_id,
        region=early.region,
        revision=early.revision,
        starts_at=early.starts_at,
        ends_at=early.ends_at,
        prices_cents=early.prices_cents,
        sales_close_minutes=early.sales_close_minutes,
    )


def _early_cancellation(early: show_store.EarlyChange) -> ShowCancelled:
    return ShowCancelled(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        show_id=early.show_id,
        region=early.region,
        reason=early.cancel_reason or "",
    )


HANDLERS: Handlers = {
    CustomerErased: personal_data.forget_customers,
    ShowScheduled: schedule_shows,
    ShowChanged: change_shows,
    ShowCancelled: cancel_shows,
    PaymentSuccess: confirm_bookings,
    PaymentFailed: note_failures,
    PaymentRefunded: note_refunds,
    PaymentRefundFailed: returned_money.note_failed_refunds,
    PaymentDisputed: returned_money.note_disputes,
    LedgerCommitted: receipt_store.insert,
}
