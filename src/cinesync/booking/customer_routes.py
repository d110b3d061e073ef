"""What other services ask about customers, with a token that says they are services."""

from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from cinesync.booking import history_store
from cinesync.booking.context import Shop
from cinesync.chassis.http.security.access_tokens import SERVICE_ROLE, Caller, require

CUSTOMERS_MAX = 500


class Customers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of whom to tell."""

    customer_ids: Annotated[tuple[UUID, ...], msgspec.Meta(max_length=CUSTOMERS_MAX)]


class Buyers(msgspec.Struct, frozen=True):
    """Those of them who bought something, whatever became of it."""

    customer_ids: Sequence[UUID]


@post("/customers/buyers", status_code=200)
async def buyers(
    shop: NamedDependency[Shop], caller: NamedDependency[Caller], data: JSONBody[Customers]
) -> Buyers:
    """For services: who of these customers ever bought something here."""
    require(caller, SERVICE_ROLE)
    return Buyers(await shop.db.run_one(history_store.buyers, data.customer_ids))
