"""What booking keeps of a customer: all of it for themselves, and forgotten when they are erased.

A booking stays in the books with its seats and its money. Its owner becomes an id that is made for
it and is nobody's, another one for each booking: they are no longer linked to a person, nor to each
other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide

from cinesync.booking import personal_data_store as store
from cinesync.booking.personal_data_store import Unfinished
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction
from cinesync.chassis.http.cursor import Page, decode_cursor, encode_cursor
from cinesync.chassis.http.parameters import PAGE_ITEMS_MAX, After, Limit, SignedInCaller
from cinesync.contracts.auth import CustomerErased

FIRST = UUID(int=0)
NO_STORE = {"Cache-Control": "no-store"}

TheDatabase = NamedDependency[Database]


@dataclass(frozen=True, slots=True)
class UnfinishedView:
    """What has to end before a customer can be erased."""

    items: Sequence[Unfinished]


@get("/me/data")
async def data(
    caller: SignedInCaller,
    database: TheDatabase,
    after: After = None,
    limit: Limit = PAGE_ITEMS_MAX,
) -> Response[Page[dict[str, Any]]]:
    """All that booking keeps of you, by page: holds, bookings, scans, refused payments."""
    (last_id,) = decode_cursor(after, UUID) or (FIRST,)
    items, following = await database.read(_page, caller.customer_id, last_id, limit)
    return Response(Page(items, following), headers=NO_STORE)


@get("/me/unfinished")
async def unfinished(caller: SignedInCaller, database: TheDatabase) -> Response[UnfinishedView]:
    """What you hold, tickets for shows that are not over, and money on its way back to you."""
    found = await database.read(store.unfinished, caller.customer_id, PAGE_ITEMS_MAX)
    return Response(UnfinishedView(found), headers=NO_STORE)


def personal_data_router(database: Database) -> Router:
    """Both under /api/booking/me."""
    return Router(
        "/api/booking",
        route_handlers=[data, unfinished],
        dependencies={"database": Provide(lambda: database, sync_to_thread=False)},
    )


async def forget_customers(tx: Transaction, erased: Sequence[CustomerErased]) -> None:
    """Nobody can tell any more whose bookings these were; seats and sums stay."""
    customer_ids = [event.customer_id for event in erased]
    if owned := await store.owned_by(tx, customer_ids):
        await store.give_to_nobody(tx, owned, [clock.new_id() for _ in owned])
    if refused := await store.refused_ids_of(tx, customer_ids):
        await store.give_refused_to_nobody(tx, refused, [clock.new_id() for _ in refused])


async def _page(
    tx: Transaction, customer_id: UUID, after: UUID, limit: int
) -> tuple[list[dict[str, Any]], str | None]:
    rows = await store.bookings_page(tx, customer_id, after, limit + 1)
    page = rows[:limit]
    booking_ids = [row["booking_id"] for row in page]
    admissions = await store.admissions_of(tx, booking_ids)
    refused_scans = await store.refused_scans_of(tx, booking_ids)
    refused = await store.refused_of(tx, customer_id) if after == FIRST else []
    items = [{"kind": "booking", **row} for row in page]
    items += [{"kind": "admission", **row} for row in admissions]
    items += [{"kind": "refused_scan", **row} for row in refused_scans]
    items += [{"kind": "refused_payment", **row} for row in refused]
    return items, encode_cursor(page[-1]["booking_id"]) if rows[limit:] else None
