"""A customer's personal data: exported for themselves, anonymized when they are erased.

A booking stays on record with its seats and its money. Its customer is replaced by a new random id,
a different one for each booking: the bookings can no longer be linked to a person, nor to each
other.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from cinesync.booking.personal_data import store
from cinesync.chassis import clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.http.personal_data import FIRST_ID
from cinesync.contracts.auth import CustomerErased


async def export_page(
    tx: Transaction, customer_id: UUID, after: UUID, limit: int
) -> tuple[list[dict[str, Any]], UUID | None]:
    """A page of all data, and the id of its last booking if there are more. Refused payments go
    with the first page."""
    rows = await store.bookings_page(tx, customer_id, after, limit + 1)
    page = rows[:limit]
    booking_ids = [row["booking_id"] for row in page]
    items = [{"kind": "booking", **row} for row in page]
    for kind, found in (
        ("admission", await store.admissions_of(tx, booking_ids)),
        ("refused_scan", await store.refused_scans_of(tx, booking_ids)),
        (
            "refused_payment",
            await store.refused_payments_of(tx, customer_id) if after == FIRST_ID else [],
        ),
    ):
        items += [{"kind": kind, **row} for row in found]
    return items, page[-1]["booking_id"] if rows[limit:] else None


async def anonymize_customers(tx: Transaction, erased: Sequence[CustomerErased]) -> None:
    """Replace these customers in their bookings and refused payments; seats and sums stay."""
    customer_ids = [event.customer_id for event in erased]
    if owned := await store.owned_by(tx, customer_ids):
        await store.anonymize(tx, owned, [clock.new_id() for _ in owned])
    if refused := await store.refused_ids_of(tx, customer_ids):
        await store.anonymize_refused(tx, refused, [clock.new_id() for _ in refused])
