"""What the ledger service keeps of a customer, for themselves: what opens their commitments.

The chain says of each entry's customer SHA-256("cinesync/commitment/1" NUL salt {"customer_id":…}).
Whoever has the salt can show whose entry it is. Only the ledger service has it, and gives it to
nobody but the customer; it is gone when the customer is erased.
"""

from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide
from litestar.params import QueryParameter

from cinesync.chassis.database.database import Database
from cinesync.chassis.http.access_tokens import Caller
from cinesync.chassis.http.app import Page, decode_cursor, encode_cursor
from cinesync.chassis.problems import Invalid
from cinesync.ledger import store

PAGE_MAX: Final = 100
FIRST: Final = UUID(int=0)
NO_STORE: Final = {"Cache-Control": "no-store"}

TheDatabase = NamedDependency[Database]
Who = NamedDependency[Caller]


@get("/me/data")
async def data(
    caller: Who,
    database: TheDatabase,
    after: Annotated[str | None, QueryParameter(max_length=500)] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=PAGE_MAX)] = PAGE_MAX,
) -> Response[Page[dict[str, Any]]]:
    """Your entries in the ledger, by page, with the salts that show that they are yours."""
    found = await database.read(store.openings_page, caller.customer_id, _after(after), limit + 1)
    page = found[:limit]
    following = encode_cursor(str(page[-1].event_id)) if found[limit:] else None
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
    return Response(Page(items, following), headers=NO_STORE)


def personal_data_router(database: Database) -> Router:
    """Under /api/ledger/me."""
    return Router(
        "/api/ledger",
        route_handlers=[data],
        dependencies={"database": Provide(lambda: database, sync_to_thread=False)},
    )


def _after(after: str | None) -> UUID:
    if after is None:
        return FIRST
    try:
        return UUID(decode_cursor(after, 1)[0])
    except ValueError as error:
        raise Invalid("`after` takes the `next` of an earlier answer.", field="after") from error
