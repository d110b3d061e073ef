"""HTTP routes of a customer's personal data."""

from typing import Any, Final

from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide

from cinesync.chassis.database import Database
from cinesync.chassis.http.cursor import Page
from cinesync.chassis.http.parameters import PAGE_ITEMS_MAX, After, Limit, SignedInCaller
from cinesync.chassis.http.personal_data import (
    UnfinishedView,
    after_id,
    export_response,
    unfinished_response,
)
from cinesync.payment.personal_data import service, store
from cinesync.payment.schemas import Unfinished

# Booking needs some time to confirm or refuse the booking of a payment that succeeded.
BOOKING_SECONDS: Final = 60

TheDatabase = NamedDependency[Database]


@get("/me/data")
async def data(
    caller: SignedInCaller,
    database: TheDatabase,
    after: After = None,
    limit: Limit = PAGE_ITEMS_MAX,
) -> Response[Page[dict[str, Any]]]:
    """All that payment stores of you, by page: payments, captures, refunds, disputes; no cards."""
    found = await database.read(service.export_page, caller.customer_id, after_id(after), limit)
    return export_response(*found)


@get("/me/unfinished")
async def unfinished(
    caller: SignedInCaller, database: TheDatabase
) -> Response[UnfinishedView[Unfinished]]:
    """Your payments that are not decided, and your refunds that are not done."""
    found = await database.read(
        store.unfinished, caller.customer_id, BOOKING_SECONDS, PAGE_ITEMS_MAX
    )
    return unfinished_response(found)


def personal_data_router(database: Database) -> Router:
    """Routes under /api/payment/me."""
    return Router(
        "/api/payment",
        route_handlers=[data, unfinished],
        dependencies={"database": Provide(lambda: database, sync_to_thread=False)},
    )
