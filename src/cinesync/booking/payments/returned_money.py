"""Money that goes back without a request of booking, or that comes back again.

Staff may refund a payment at the provider, and a card holder's bank may take money back. A booking
whose money is all refunded is cancelled; one that keeps some of it stands. While a dispute holds
the money of a booking, its tickets are revoked; they are valid again if the dispute is won.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cinesync.booking import service, store
from cinesync.booking.admission import revocation_store
from cinesync.booking.admission.revocation_store import DISPUTED
from cinesync.booking.cancellation import rules
from cinesync.booking.cancellation.service import NO_ACTOR, apply_refund, refund_of
from cinesync.booking.model import Booking, BookingState
from cinesync.booking.payments import store as payment_store
from cinesync.chassis.database import Transaction
from cinesync.contracts.payment import PaymentDisputed, PaymentRefunded, PaymentRefundFailed

MONEY_HELD: Final = frozenset({"open"})
MONEY_BACK: Final = frozenset({"won", "prevented"})


class PaymentNotKnownYet(Exception):
    """A refund of a payment that booking has not received yet. The event is delivered again."""


async def apply_unrequested(tx: Transaction, refunds: Sequence[PaymentRefunded]) -> None:
    """Apply refunds that booking did not request. Raises PaymentNotKnownYet."""
    bookings = dict(await store.lock_bookings(tx, [refund.hold_id for refund in refunds]))
    unknown = [refund for refund in refunds if not _is_of(bookings.get(refund.hold_id), refund)]
    if unknown:
        refused = await payment_store.refused_ids(tx, [one.payment_id for one in unknown])
        if early := [one for one in unknown if one.payment_id not in refused]:
            raise PaymentNotKnownYet(early[0].payment_id)
    for refund in refunds:
        if refund in unknown:
            continue
        booking = bookings[refund.hold_id]
        refunded_cents = booking.refund_cents + refund.unasked_cents
        if booking.state is BookingState.CONFIRMED and refunded_cents >= booking.total_cents:
            bookings[refund.hold_id] = await _cancel(tx, booking, refund)
        else:
            await payment_store.add_refund(tx, booking, refund.unasked_cents)
            locked = await store.lock_bookings(tx, [booking.booking_id])
            bookings[refund.hold_id] = locked[booking.booking_id]


def _is_of(booking: Booking | None, refund: PaymentRefunded) -> bool:
    return booking is not None and booking.payment_id == refund.payment_id


async def _cancel(tx: Transaction, booking: Booking, refund: PaymentRefunded) -> Booking:
    """Cancel a booking of which no money is left."""
    show = await service.find_show(tx, booking.show_id)
    whole = rules.partition_of(booking, ())
    applied = refund_of(
        booking, whole, reason=refund.reason, actor_id=NO_ACTOR, refund_id=refund.refund_id
    )
    return (await apply_refund(tx, booking, show, whole, applied)).booking


async def subtract_failed_refunds(tx: Transaction, failures: Sequence[PaymentRefundFailed]) -> None:
    """Subtract refunds that were counted and then failed: the money is still owed."""
    amounts: dict[tuple[UUID, UUID], int] = {}
    for failure in failures:
        if failure.was_refunded and not failure.surplus:
            key = failure.hold_id, failure.payment_id
            amounts[key] = amounts.get(key, 0) - failure.amount_cents
    if amounts:
        await payment_store.add_refunded(tx, amounts)


async def apply_disputes(tx: Transaction, disputes: Sequence[PaymentDisputed]) -> None:
    """Revoke the tickets of a booking while a dispute holds all that is left of its money.

    Events of one dispute may arrive in any order; an event that arrives after its end is ignored.
    """
    ended_now = [one.dispute_id for one in disputes if one.status in MONEY_BACK]
    if ended_now:
        await payment_store.insert_ended_disputes(tx, ended_now)
    ended = await payment_store.ended_disputes(tx, [one.dispute_id for one in disputes])
    bookings = await store.lock_bookings(tx, [dispute.hold_id for dispute in disputes])
    for dispute in disputes:
        booking = bookings.get(dispute.hold_id)
        if booking is None or booking.payment_id != dispute.payment_id:
            continue
        left_cents = booking.total_cents - booking.refund_cents
        is_held = dispute.status in MONEY_HELD and dispute.dispute_id not in ended
        if is_held and dispute.amount_cents >= left_cents:
            await revocation_store.revoke_bookings(tx, [booking.booking_id], DISPUTED)
        elif dispute.status in MONEY_BACK:
            await revocation_store.restore_bookings(tx, [booking.booking_id], DISPUTED)
