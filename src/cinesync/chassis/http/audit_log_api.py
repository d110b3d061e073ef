"""`GET /api/<service>/audit-log`: the audit trail of a service, for managers and auditors."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated
from uuid import UUID

from litestar import Response, get
from litestar.params import FromQuery, QueryParameter
from litestar.types import ControllerRouterHandler

from cinesync.chassis import audit_log
from cinesync.chassis.audit_log import Actor, EntryView, Filter
from cinesync.chassis.database import Database
from cinesync.chassis.http.app import refuse_unknown_query
from cinesync.chassis.http.cursor import Page, decode_cursor, page_of
from cinesync.chassis.http.parameters import (
    After,
    AnyRequest,
    SignedInCaller,
    TextFilter,
    limit_up_to,
    plain_text,
)
from cinesync.chassis.http.security.access_tokens import Caller, require
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.problems import Invalid

READERS = ("manager", "auditor")

ObjectFilter = Annotated[
    str | None, QueryParameter(max_length=300, description="`kind`, or `kind:id` for one of them")
]
TimeFilter = Annotated[
    datetime | None, QueryParameter(description="with its offset: 2026-11-21T19:30:00Z")
]
AuditLimit = Annotated[int, limit_up_to(200)]


def actor_of(request: AnyRequest, caller: Caller) -> Actor:
    """Who is asking and from where, as an audit entry names them."""
    addresses: ClientAddresses = request.app.state.addresses
    return Actor(caller.role, caller.customer_id, addresses.of(request.scope))


def audit_log_route(service: str, db: Database) -> ControllerRouterHandler:
    """The route, to be mounted beside a service's own."""

    @get(f"/api/{service}/audit-log", guards=[refuse_unknown_query])
    async def list_audit_log(
        caller: SignedInCaller,
        after: After = None,
        actor: FromQuery[UUID | None] = None,
        action: TextFilter = None,
        object: ObjectFilter = None,  # noqa: A002 the contract's name
        since: TimeFilter = None,
        until: TimeFilter = None,
        limit: AuditLimit = 50,
    ) -> Response[Page[EntryView]]:
        """Who did what in this service, newest first; for managers and auditors.

        `since` is the earliest time, `until` the first one too late.
        """
        require(caller, *READERS)
        (last_id,) = decode_cursor(after, UUID) or (None,)
        kind, _, object_id = (object or "").partition(":")
        wanted = Filter(
            actor=actor,
            action=plain_text("action", action),
            object_kind=plain_text("object", kind),
            object_id=plain_text("object", object_id),
            since=_with_zone("since", since),
            until=_with_zone("until", until),
            older_than=last_id,
        )
        found = await db.run_one(audit_log.page, replace(wanted, limit=limit + 1))
        page = page_of(found, limit, lambda entry: (entry.entry_id,))
        return Response(page, headers={"Cache-Control": "no-store"})

    return list_audit_log


def _with_zone(name: str, time: datetime | None) -> datetime | None:
    if time is not None and time.tzinfo is None:
        raise Invalid(f"`{name}` is a time with its offset: 2026-11-21T19:30:00Z.", field=name)
    return time
