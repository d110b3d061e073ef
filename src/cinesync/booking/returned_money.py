"""What becomes of a booking whose money goes back without booking's asking, or comes again.

Staff may give money back at the payment provider, and a card holder's bank may take it. A booking
whose money is all back ends; one that kept some of it stands. While a dispute holds the money of a
booking, its tickets admit nobody; they are good again if the dispute is won.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cinesync.booking import cancel_rules, cancellation, history_store, revocations, service, store
from cinesync.booking.model import Booking, State
from cinesync.chassis.database import Transaction, text
from cinesync.contracts.payment import PaymentDisputed, PaymentRefunded, PaymentRefundFailed

NOBODY: Final = UUID(int=0)  # of this shop
MONEY_HELD: Final = frozenset({"open"})
MONEY_BACK: Final = frozenset({"won", "prevented"})


class PaymentNotKnownYet(Exception):
    """Money of a payment went back before the payment itself was heard of; it comes again."""


async def take_unasked(tx: Transaction, refunds: Sequence[PaymentRefunded]) -> None:
    """Money went back that booking had not asked for. Raises PaymentNotKnownYet."""
    bookings = dict(await store.lock_bookings(tx, [refund.hold_id for refund in refunds]))
    strange = [refund for refund in refunds if not _is_of(bookings.get(refund.hold_id), refund)]
    if strange:
        refused = await history_store.refused_ids(tx, [refund.payment_id for refund in strange])
        unknown = [refund for refund in strange if refund.payment_id not in refused]
        if unknown:
            raise PaymentNotKnownYet(unknown[0].payment_id)
    for refund in refunds:
        if refund in strange:
            continue
        booking = bookings[refund.hold_id]
        returned_cents = booking.refund_cents + refund.unasked_cents
        if booking.state is State.CONFIRMED and returned_cents >= booking.total_cents:
            bookings[refund.hold_id] = await _end(tx, booking, refund)
        else:
            bookings[refund.hold_id] = await _reduce(tx, booking, refund.unasked_cents)


def _is_of(booking: Booking | None, refund: PaymentRefunded) -> bool:
    return booking is not None and booking.payment_id == refund.payment_id


async def _end(tx: Transaction, booking: Booking, refund: PaymentRefunded) -> Booking:
    """Nothing of its money is left: its seats are free, its tickets admit nobody."""
    show = await service.find_show(tx, booking.show_id)
    whole = cancel_rules.split(booking, ())
    given_back = cancellation.refund_of(
        booking, whole, reason=refund.reason, actor_id=NOBODY, refund_id=refund.refund_id
    )
    return (await cancellation.give_back(tx, booking, show, whole, given_back)).booking


async def _reduce(tx: Transaction, booking: Booking, unasked_cents: int) -> Booking:
    statement = text(
        "UPDATE bookings SET refund_cents"
        " = LEAST(bookings.total_cents, bookings.refund_cents + CAST(:cents AS bigint))"
        " WHERE region = CAST(:region AS text) AND booking_id = CAST(:booking_id AS uuid)"
    )
    values = {
        "cents": unasked_cents,
        "region": booking.region,
        "booking_id": booking.booking_id,
    }
    await tx.execute(statement, values)
    return (await store.lock_bookings(tx, [booking.booking_id]))[booking.booking_id]


async def note_failed_refunds(tx: Transaction, failures: Sequence[PaymentRefundFailed]) -> None:
    """Money that was told to have gone back came again: it is owed still."""
    sums: dict[tuple[UUID, UUID], int] = {}
    for failure in failures:
        if failure.was_refunded and not failure.surplus:
            key = failure.hold_id, failure.payment_id
            sums[key] = sums.get(key, 0) + failure.amount_cents
    if sums:
        await history_store.take_refunds_back(tx, sums)


async def note_disputes(tx: Transaction, disputes: Sequence[PaymentDisputed]) -> None:
    """A dispute about all that a booking still has holds its tickets back until it is won.

    Events of one dispute may come in any order: what is told of it after its end changes nothing.
    """
    ended = await _note_ended(tx, disputes)
    bookings = await store.lock_bookings(tx, [dispute.hold_id for dispute in disputes])
    for dispute in disputes:
        booking = bookings.get(dispute.hold_id)
        if booking is None or booking.payment_id != dispute.payment_id:
            continue
        left_cents = booking.total_cents - booking.refund_cents
        is_held = dispute.status in MONEY_HELD and dispute.dispute_id not in ended
        if is_held and dispute.amount_cents >= left_cents:
            await revocations.revoke_bookings(tx, [booking.booking_id], revocations.DISPUTED)
        elif dispute.status in MONEY_BACK:
            await revocations.restore_bookings(tx, [booking.booking_id], revocations.DISPUTED)


async def _note_ended(tx: Transaction, disputes: Sequence[PaymentDisputed]) -> set[UUID]:
    """Those of the disputes that are over, by these events or by earlier ones."""
    over = sorted({one.dispute_id for one in disputes if one.status in MONEY_BACK})
    if over:
        insert = text(
            "INSERT INTO disputes_ended (dispute_id)"
            " SELECT t.dispute_id FROM unnest(CAST(:dispute_ids AS uuid[])) AS t(dispute_id)"
            " ON CONFLICT (dispute_id) DO NOTHING"
        )
        await tx.execute(insert, {"dispute_ids": over})
    found = await tx.execute(
        text(
            "SELECT dispute_id FROM disputes_ended"
            " WHERE dispute_id = ANY(CAST(:dispute_ids AS uuid[]))"
        ),
        {"dispute_ids": sorted({one.dispute_id for one in disputes})},
    )
    return set(found.scalars())
