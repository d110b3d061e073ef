"""HTTP routes of admission: scans, refused scans, revoked tickets, ticket keys."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from litestar import Response, get, post
from litestar.params import FromQuery, JSONBody
from litestar.types import ControllerRouterHandler

from cinesync.booking.admission import revocation_store, service, store
from cinesync.booking.admission.revocation_store import RevokedTickets
from cinesync.booking.admission.schemas import (
    AdmissionsRequest,
    AdmissionsView,
    RevocationsView,
    admission_view,
    invalid_scan,
    scan_of,
    unknown_view,
)
from cinesync.booking.admission.store import RefusedScanRecord
from cinesync.booking.context import BookingContext, InjectedContext
from cinesync.booking.shows import store as show_store
from cinesync.chassis.audit_log import LAST_ID
from cinesync.chassis.http.audit_log_api import actor_of
from cinesync.chassis.http.cursor import Page, decode_cursor, page_of
from cinesync.chassis.http.etags import matches
from cinesync.chassis.http.parameters import After, AnyRequest, Limit, SignedInCaller
from cinesync.chassis.http.security.access_tokens import require
from cinesync.chassis.problems import Invalid

STAFF: Final = ("staff", "manager")
# A theater's day, with the shows after midnight that belong to its evening.
DAY: Final = timedelta(hours=30)
YEARS: Final = (1900, 9000)  # within the range of PostgreSQL and of datetime
KEYS_AGE_SECONDS: Final = 300


@post("/admissions", status_code=200)
async def admit(
    context: InjectedContext,
    caller: SignedInCaller,
    request: AnyRequest,
    data: JSONBody[AdmissionsRequest],
) -> AdmissionsView:
    """Admit tickets, each once. For staff. A scanner without network sends its scans later, in
    order, and learns which it should have refused."""
    require(caller, *STAFF)
    scans = [scan_of(body, context.signer) for body in data.scans]
    invalid = [
        invalid_scan(body) for body, scan in zip(data.scans, scans, strict=True) if scan is None
    ]
    decisions = iter(
        await context.db.run(
            service.admit,
            [scan for scan in scans if scan is not None],
            actor_of(request, caller),
            caller.customer_id,
            invalid,
        )
    )
    return AdmissionsView(
        [
            unknown_view(body) if scan is None else admission_view(next(decisions))
            for body, scan in zip(data.scans, scans, strict=True)
        ]
    )


@get("/refused-scans")
async def list_refused_scans(
    context: InjectedContext,
    caller: SignedInCaller,
    show_id: FromQuery[UUID | None] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[RefusedScanRecord]:
    """Scans that admitted nobody, of a show or of all, the newest first; kept for some weeks. For
    staff."""
    require(caller, *STAFF)
    (before,) = decode_cursor(after, UUID) or (LAST_ID,)
    rows = await context.db.read(store.refused_page, show_id, before, limit + 1)
    return page_of(rows, limit, lambda row: (row.refusal_id,))


@get("/revocations")
async def get_revocations(
    context: InjectedContext,
    caller: SignedInCaller,
    request: AnyRequest,
    show_id: FromQuery[UUID | None] = None,
    theater_id: FromQuery[UUID | None] = None,
    day: FromQuery[date | None] = None,
) -> Response[RevocationsView | None]:
    """Tickets that admit nobody any more, signed for scanners without network: of a show, or of a
    theater and a day. Its ETag is its `seq`. For staff."""
    require(caller, *STAFF)
    revoked, scope = await _find_revoked(context, show_id, theater_id, day)
    tag = f'"{revoked.seq}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if matches(tag, request.headers.get("if-none-match", "")):
        return Response(None, status_code=304, headers=headers)
    claims = {
        **scope,
        "iat": int(revoked.issued_at.timestamp()),
        "seq": revoked.seq,
        "cancelled_shows": [str(one) for one in revoked.cancelled_shows],
        "tickets": list(revoked.tickets),
    }
    body = RevocationsView(
        list=context.signer.sign_revocations(claims),
        seq=revoked.seq,
        issued_at=revoked.issued_at,
        ticket_count=len(revoked.tickets),
    )
    return Response(body, headers=headers)


async def _find_revoked(
    context: BookingContext, show_id: UUID | None, theater_id: UUID | None, day: date | None
) -> tuple[RevokedTickets, dict[str, str]]:
    """The revoked tickets and their scope. Raises Invalid."""
    if show_id is not None and theater_id is None and day is None:
        revoked = await context.db.read(revocation_store.of_show, show_id)
        return revoked, {"show_id": str(show_id)}
    if show_id is not None or theater_id is None or day is None:
        raise Invalid("Ask for a show_id, or for a theater_id and a day.", field="show_id")
    if not YEARS[0] <= day.year <= YEARS[1]:
        raise Invalid("`day` is a day such as 2026-12-24.", field="day")
    time_zone = await context.db.run_one(show_store.time_zone_of, theater_id)
    begins = datetime.combine(day, datetime.min.time(), ZoneInfo(time_zone or "UTC"))
    revoked = await context.db.read(revocation_store.of_theater, theater_id, begins, begins + DAY)
    return revoked, {"theater_id": str(theater_id), "day": day.isoformat()}


@get("/tickets/jwks.json")
async def ticket_keys(context: InjectedContext) -> Response[dict[str, Any]]:
    """The public keys that verify tickets. Scanners may cache them."""
    headers = {"Cache-Control": f"max-age={KEYS_AGE_SECONDS}"}
    return Response(context.signer.jwks(), headers=headers)


HANDLERS: Final[Sequence[ControllerRouterHandler]] = (
    admit,
    list_refused_scans,
    get_revocations,
    ticket_keys,
)
