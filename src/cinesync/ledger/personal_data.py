"""A customer's own data: their entries in the ledger, with the salts that open the commitments.

Instead of its customer an entry has SHA-256("cinesync/commitment/1" NUL salt {"customer_id":…}).
The salt shows whose entry it is. Only the ledger service stores it, shows it to the customer, and
deletes it when the customer is erased.
"""

from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide

from cinesync.chassis.database import Database
from cinesync.chassis.http.cursor import Page
from cinesync.chassis.http.parameters import PAGE_ITEMS_MAX, After, Limit, SignedInCaller
from cinesync.chassis.http.personal_data import after_id, export_response
from cinesync.ledger import store

InjectedLedgerDatabase = NamedDependency[Database]


@get("/me/data")
async def data(
    caller: SignedInCaller,
    database: InjectedLedgerDatabase,
    after: After = None,
    limit: Limit = PAGE_ITEMS_MAX,
) -> Response[Page[dict[str, Any]]]:
    """Your entries in the ledger, by page, with the salts that show that they are yours."""
    found = await database.read(store.openings_page, caller.customer_id, after_id(after), limit + 1)
    page = found[:limit]
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
        for one in page
    ]
    return export_response(items, page[-1].event_id if found[limit:] else None)


def personal_data_router(database: Database) -> Router:
    """Under /api/ledger/me."""
    return Router(
        "/api/ledger",
        route_handlers=[data],
        dependencies={"database": Provide(lambda: database, sync_to_thread=False)},
    )
