"""What staff ask of booking: let people in, look a booking up, give money back."""

from datetime import date, datetime, timedelta
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from litestar import Response, Router, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from cinesync.booking import (
    admission_store,
    admissions,
    revocations,
    show_refunds,
    show_store,
    staff_refunds,
)
from cinesync.booking import staff_schemas as views
from cinesync.booking.admission_store import RefusedScanLine
from cinesync.booking.admissions import FoundBooking
from cinesync.booking.context import Shop
from cinesync.booking.revocations import Revocations
from cinesync.booking.show_refunds import Progress, RefundShow
from cinesync.booking.staff_refunds import RefundBooking
from cinesync.booking.tickets import NotATicket, name_of
from cinesync.chassis.audit_log import LAST_ID
from cinesync.chassis.http.audit_log_api import actor_of
from cinesync.chassis.http.cursor import Page, decode_cursor, page_of
from cinesync.chassis.http.etags import matches
from cinesync.chassis.http.parameters import After, AnyRequest, Limit, SignedInCaller
from cinesync.chassis.http.security.access_tokens import require
from cinesync.chassis.problems import Invalid, NotFound

STAFF = ("staff", "manager")
MANAGERS = ("manager",)
# A theater's day, with the shows after midnight that belong to its evening.
DAY = timedelta(hours=30)
YEARS = (1900, 9000)  # what a database and a calendar can add to

TheShop = NamedDependency[Shop]
Text = Annotated[str | None, QueryParameter(max_length=views.TICKET_CHARS_MAX)]
Seat = Annotated[str | None, QueryParameter(max_length=40)]


@post("/admissions", status_code=200)
async def admit(
    shop: TheShop, caller: SignedInCaller, request: AnyRequest, data: JSONBody[views.AdmissionsBody]
) -> views.AdmissionsView:
    """Let people in: each ticket once. For staff; a scanner without network sends its scans later,
    in order, and learns what it should have refused."""
    require(caller, *STAFF)
    read = [views.scan_of(body, shop.signer) for body in data.scans]
    scans = [scan for scan in read if scan is not None]
    pairs = zip(data.scans, read, strict=True)
    strange = [views.strange(body) for body, scan in pairs if scan is None]
    by, staff_id = actor_of(request, caller), caller.customer_id
    decided = iter(await shop.db.run(admissions.admit, scans, by, staff_id, strange))
    return views.AdmissionsView(
        [
            views.unknown(body) if scan is None else views.admission(next(decided))
            for body, scan in zip(data.scans, read, strict=True)
        ]
    )


@get("/refused-scans")
async def list_refused_scans(
    shop: TheShop,
    caller: SignedInCaller,
    show_id: FromQuery[UUID | None] = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[RefusedScanLine]:
    """Scans that let nobody in, of a show or of all, the newest first; kept for some weeks. For
    staff."""
    require(caller, *STAFF)
    (before,) = decode_cursor(after, UUID) or (LAST_ID,)
    rows = await shop.db.read(admission_store.refused_page, show_id, before, limit + 1)
    return page_of(rows, limit, lambda row: (row.refusal_id,))


@get("/revocations")
async def get_revocations(
    shop: TheShop,
    caller: SignedInCaller,
    request: AnyRequest,
    show_id: FromQuery[UUID | None] = None,
    theater_id: FromQuery[UUID | None] = None,
    day: FromQuery[date | None] = None,
) -> Response[views.RevocationsView | None]:
    """Tickets that admit nobody any more, signed for scanners without network: of a show, or of a
    theater and a day. Its ETag is its `seq`. For staff."""
    require(caller, *STAFF)
    found, scope = await _revocations(shop, show_id, theater_id, day)
    tag = f'"{found.seq}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if matches(tag, request.headers.get("if-none-match", "")):
        return Response(None, status_code=304, headers=headers)
    claims = {
        **scope,
        "iat": int(found.issued_at.timestamp()),
        "seq": found.seq,
        "cancelled_shows": [str(one) for one in found.cancelled_shows],
        "tickets": list(found.tickets),
    }
    body = views.RevocationsView(
        list=shop.signer.sign_revocations(claims),
        seq=found.seq,
        issued_at=found.issued_at,
        ticket_count=len(found.tickets),
    )
    return Response(body, headers=headers)


async def _revocations(
    shop: Shop, show_id: UUID | None, theater_id: UUID | None, day: date | None
) -> tuple[Revocations, dict[str, str]]:
    if show_id is not None and theater_id is None and day is None:
        found = await shop.db.read(revocations.of_show, show_id)
        return found, {"show_id": str(show_id)}
    if show_id is not None or theater_id is None or day is None:
        raise Invalid("Ask for a show_id, or for a theater_id and a day.", field="show_id")
    if not YEARS[0] <= day.year <= YEARS[1]:
        raise Invalid("`day` is a day such as 2026-12-24.", field="day")
    time_zone = await shop.db.run_one(show_store.time_zone_of, theater_id)
    begins = datetime.combine(day, datetime.min.time(), ZoneInfo(time_zone or "UTC"))
    found = await shop.db.read(revocations.of_theater, theater_id, begins, begins + DAY)
    return found, {"theater_id": str(theater_id), "day": day.isoformat()}


@get("/lookup")
async def look_up(
    shop: TheShop,
    caller: SignedInCaller,
    request: AnyRequest,
    booking_id: FromQuery[UUID | None] = None,
    ticket: Text = None,
    show_id: FromQuery[UUID | None] = None,
    seat: Seat = None,
) -> views.FoundView:
    """A booking by its id, by a ticket or its id, or by a seat of a show: who has it, then who
    had it. For staff; who looked at what goes into the audit trail."""
    require(caller, *STAFF)
    by = actor_of(request, caller)
    asked = (booking_id is not None, ticket is not None, show_id is not None and bool(seat))
    if sum(asked) != 1:
        raise Invalid("Ask for a booking_id, a ticket, or a show_id and seat.", field="booking_id")
    found: list[FoundBooking]
    if show_id is not None and seat:
        found = await shop.db.run(admissions.look_up_seat, show_id, seat, by)
    else:
        wanted = booking_id or _booking_of(shop, ticket or "")
        found = await shop.db.run(admissions.look_up, [wanted], by) if wanted else []
    return views.FoundView([views.found(one, shop.terms) for one in found])


def _booking_of(shop: Shop, ticket: str) -> UUID | None:
    """Of a token as it was scanned, or of a ticket's id."""
    for read in (shop.signer.read, name_of):
        try:
            return read(ticket).booking_id
        except NotATicket:
            continue
    return None


@post("/bookings/{booking_id:uuid}/refunds", status_code=200)
async def refund_booking(
    shop: TheShop,
    caller: SignedInCaller,
    request: AnyRequest,
    booking_id: FromPath[UUID],
    data: JSONBody[views.RefundBody],
) -> views.StaffBookingView:
    """Give a booking back, some of its seats, or an amount; before the show and after it. For
    staff."""
    require(caller, *STAFF)
    if data.seats and data.amount_cents:
        raise Invalid("Name seats or amount_cents, not both.", field="amount_cents")
    by = actor_of(request, caller)
    command = RefundBooking(
        refund_id=data.refund_id,
        booking_id=booking_id,
        seats=data.seats or (),
        amount_cents=data.amount_cents,
        note=data.reason,
        by=by,
        by_id=caller.customer_id,
    )
    done = await shop.db.run(staff_refunds.refund_booking, command)
    shop.live.bookings_cancelled(done.events)
    [found] = await shop.db.read(admissions.read_bookings, [booking_id])
    return views.found(found, shop.terms)


@post("/shows/{show_id:uuid}/refunds", status_code=200)
async def refund_show(
    shop: TheShop,
    caller: SignedInCaller,
    request: AnyRequest,
    show_id: FromPath[UUID],
    data: JSONBody[views.ShowRefundBody],
) -> Progress:
    """End the sale of a show, take it off the programme and give all its bookings back, `limit` of
    them at once. The rest follows by itself: look at `/refunds/{refund_id}`. For managers."""
    require(caller, *MANAGERS)
    command = RefundShow(
        refund_id=data.refund_id,
        show_id=show_id,
        note=data.reason,
        limit=data.limit,
        by=actor_of(request, caller),
        by_id=caller.customer_id,
    )
    page = await shop.db.run(show_refunds.refund_show, command)
    shop.live.bookings_cancelled(page.events)
    return page.progress


@get("/shows/{show_id:uuid}/refunds/{refund_id:uuid}")
async def show_refund(
    shop: TheShop, caller: SignedInCaller, show_id: FromPath[UUID], refund_id: FromPath[UUID]
) -> Progress:
    """How far the refund of a show has come. For managers and auditors."""
    require(caller, *MANAGERS, "auditor")
    found = await shop.db.run(show_refunds.progress_of, show_id, refund_id)
    if found is None:
        raise NotFound
    return found


def staff_router(shop: Shop) -> Router:
    """All of it under /api/booking."""
    return Router(
        "/api/booking",
        route_handlers=[
            admit,
            list_refused_scans,
            get_revocations,
            look_up,
            refund_booking,
            refund_show,
            show_refund,
        ],
        dependencies={"shop": Provide(lambda: shop, sync_to_thread=False)},
    )
