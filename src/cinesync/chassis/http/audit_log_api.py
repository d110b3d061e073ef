"""`GET /api/<service>/audit-log`: the audit trail of a service, for managers and auditors."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from litestar.types import ControllerRouterHandler

from cinesync.chassis import audit_log
from cinesync.chassis.audit_log import Actor, EntryView, Filter
from cinesync.chassis.database.database import Database
from cinesync.chassis.http.access_tokens import Caller, require
from cinesync.chassis.http.app import Page, decode_cursor, encode_cursor, refuse_unknown_query
from cinesync.chassis.http.client_address import ClientAddresses
from cinesync.chassis.problems import Invalid

READERS = ("manager", "auditor")

Cursor = Annotated[
    str | None, QueryParameter(max_length=500, description="`next` of the page before")
]
Word = Annotated[str | None, QueryParameter(max_length=100)]
Object = Annotated[
    str | None, QueryParameter(max_length=300, description="`kind`, or `kind:id` for one of them")
]
Moment = Annotated[
    datetime | None, QueryParameter(description="with its offset: 2026-11-21T19:30:00Z")
]
Limit = Annotated[int, QueryParameter(ge=1, le=200)]


def actor_of(request: Request[Any, Any, Any], caller: Caller) -> Actor:
    """Who is asking and from where, as an audit entry names them."""
    addresses: ClientAddresses = request.app.state.addresses
    return audit_log.actor(caller, addresses.of(request.scope))


def audit_log_route(service: str, db: Database) -> ControllerRouterHandler:
    """The route, to be mounted beside a service's own."""

    @get(f"/api/{service}/audit-log", guards=[refuse_unknown_query])
    async def list_audit_log(
        caller: NamedDependency[Caller],
        after: Cursor = None,
        actor: FromQuery[UUID | None] = None,
        action: Word = None,
        object: Object = None,  # noqa: A002 the contract's name
        since: Moment = None,
        until: Moment = None,
        limit: Limit = 50,
    ) -> Response[Page[EntryView]]:
        """Who did what in this service, newest first; for managers and auditors.

        `since` is the earliest time, `until` the first one too late.
        """
        require(caller, *READERS)
        kind, _, object_id = (object or "").partition(":")
        wanted = Filter(
            actor=actor,
            action=_plain("action", action),
            object_kind=_plain("object", kind),
            object_id=_plain("object", object_id),
            since=_with_zone("since", since),
            until=_with_zone("until", until),
            older_than=_last_seen(after),
        )
        found = await db.run_one(audit_log.page, replace(wanted, limit=limit + 1))
        more = len(found) > limit
        cursor = encode_cursor(str(found[limit - 1].entry_id)) if more else None
        return Response(Page(found[:limit], cursor), headers={"Cache-Control": "no-store"})

    return list_audit_log


def _last_seen(cursor: str | None) -> UUID | None:
    if not cursor:
        return None
    (entry_id,) = decode_cursor(cursor, 1)
    try:
        return UUID(entry_id)
    except ValueError:
        raise Invalid("`after` takes the `next` of an earlier answer.", field="after") from None


def _with_zone(name: str, moment: datetime | None) -> datetime | None:
    if moment is not None and moment.tzinfo is None:
        raise Invalid(f"`{name}` is a time with its offset: 2026-11-21T19:30:00Z.", field=name)
    return moment


def _plain(name: str, value: str | None) -> str | None:
    if value and "\x00" in value:
        raise Invalid(f"`{name}` is a text.", field=name)
    return value or None
