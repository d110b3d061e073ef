"""A customer's own data: their entries in the ledger, with the salts that open the commitments.

Instead of its customer an entry has SHA-256("cinesync/commitment/1" NUL salt {"customer_id":…}).
The salt shows whose entry it is. Only the ledger service stores it, shows it to the customer, and
deletes it when the customer is erased.
"""

from typing import Any, Final
from uuid import UUID

from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide

from cinesync.chassis.database import Database
from cinesync.chassis.http.cursor import Page, decode_cursor, page_of
from cinesync.chassis.http.parameters import PAGE_ITEMS_MAX, After, Limit, SignedInCaller
from cinesync.ledger import store

FIRST: Final = UUID(int=0)
NO_STORE: Final = {"Cache-Control": "no-store"}

InjectedLedgerDatabase = NamedDependency[Database]


@get("/me/data")
async def data(
    caller: SignedInCaller,
    database: InjectedLedgerDatabase,
    after: After = None,
    limit: Limit = PAGE_ITEMS_MAX,
) -> Response[Page[dict[str, Any]]]:
    """Your entries in the ledger, by page, with the salts that show that they are yours."""
    (last_id,) = decode_cursor(after, UUID) or (FIRST,)
    found = await database.read(store.openings_page, caller.customer_id, last_id, limit + 1)
    page = page_of(found, limit, lambda one: (one.event_id,))
    items = [
        {
            "kind": "entry",
            "event_id": one.event_id,
            "entry_kind": one.kind,
            "booking_id": one.booking_id,
            "occurred_at": one.occurred_at,
            "salt": one.salt.hex(),
            "opens": {"customer_id": caller.customer_id},
        }
        for one in page.items
    ]
    return Response(Page(items, page.next), headers=NO_STORE)


def personal_data_router(database: Database) -> Router:
    """Under /api/ledger/me."""
    return Router(
        "/api/ledger",
        route_handlers=[data],
        dependencies={"database": Provide(lambda: database, sync_to_thread=False)},
    )
