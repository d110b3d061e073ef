"""HTTP routes of a customer's personal data."""

from collections.abc import Sequence
from typing import Any, Final

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.types import ControllerRouterHandler

from cinesync.booking.personal_data import service, store
from cinesync.booking.personal_data.store import UnfinishedItem
from cinesync.chassis.database import Database
from cinesync.chassis.http.cursor import Page
from cinesync.chassis.http.parameters import PAGE_ITEMS_MAX, After, Limit, SignedInCaller
from cinesync.chassis.http.personal_data import (
    UnfinishedView,
    after_id,
    export_response,
    unfinished_response,
)


@get("/me/data")
async def data(
    caller: SignedInCaller,
    database: NamedDependency[Database],
    after: After = None,
    limit: Limit = PAGE_ITEMS_MAX,
) -> Response[Page[dict[str, Any]]]:
    """All that booking stores about you, by page: holds, bookings, scans, refused payments."""
    found = await database.read(service.export_page, caller.customer_id, after_id(after), limit)
    return export_response(*found)


@get("/me/unfinished")
async def unfinished(
    caller: SignedInCaller, database: NamedDependency[Database]
) -> Response[UnfinishedView[UnfinishedItem]]:
    """What you hold, tickets for shows that are not over, and refunds that are not done."""
    found = await database.read(store.unfinished, caller.customer_id, PAGE_ITEMS_MAX)
    return unfinished_response(found)


HANDLERS: Final[Sequence[ControllerRouterHandler]] = (data, unfinished)
