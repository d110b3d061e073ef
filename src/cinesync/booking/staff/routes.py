"""HTTP routes of staff: look bookings up, refund a booking or a show."""

from collections.abc import Sequence
from typing import Annotated, Final
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler

from cinesync.booking.admission.routes import STAFF
from cinesync.booking.admission.schemas import TICKET_CHARS_MAX
from cinesync.booking.cancellation import show_refunds, staff_refunds
from cinesync.booking.cancellation.show_refund_store import ShowRefundProgress
from cinesync.booking.cancellation.show_refunds import RefundShow
from cinesync.booking.cancellation.staff_refunds import RefundBooking
from cinesync.booking.context import BookingContext, InjectedContext
from cinesync.booking.schemas import NAME_CHARS_MAX
from cinesync.booking.staff import lookup
from cinesync.booking.staff.lookup import FoundBooking
from cinesync.booking.staff.schemas import (
    FoundView,
    ShowRefundRequest,
    StaffBookingView,
    StaffRefundRequest,
    staff_booking_view,
)
from cinesync.booking.tickets import InvalidTicket, parse_ticket_id
from cinesync.chassis.http.audit_log_api import actor_of
from cinesync.chassis.http.parameters import AnyRequest, SignedInCaller
from cinesync.chassis.http.security.access_tokens import require
from cinesync.chassis.problems import Invalid, NotFound

MANAGERS: Final = ("manager",)

TicketQuery = Annotated[str | None, QueryParameter(max_length=TICKET_CHARS_MAX)]
SeatQuery = Annotated[str | None, QueryParameter(max_length=NAME_CHARS_MAX)]


@get("/lookup")
async def look_up(
    context: InjectedContext,
    caller: SignedInCaller,
    request: AnyRequest,
    booking_id: FromQuery[UUID | None] = None,
    ticket: TicketQuery = None,
    show_id: FromQuery[UUID | None] = None,
    seat: SeatQuery = None,
) -> FoundView:
    """A booking by its id, by a ticket or its id, or by a seat of a show: the one that has the
    seat, then those that had it. For staff. Each lookup goes into the audit log."""
    require(caller, *STAFF)
    by = actor_of(request, caller)
    given = (booking_id is not None, ticket is not None, show_id is not None and bool(seat))
    if sum(given) != 1:
        raise Invalid("Ask for a booking_id, a ticket, or a show_id and seat.", field="booking_id")
    found: list[FoundBooking]
    if show_id is not None and seat:
        found = await context.db.run(lookup.look_up_seat, show_id, seat, by)
    else:
        wanted = booking_id or _booking_of(context, ticket or "")
        found = await context.db.run(lookup.look_up, [wanted], by) if wanted else []
    return FoundView([staff_booking_view(one, context.terms) for one in found])


def _booking_of(context: BookingContext, ticket: str) -> UUID | None:
    """The booking of a scanned token or of a ticket's id."""
    for read in (context.signer.read, parse_ticket_id):
        try:
            return read(ticket).booking_id
        except InvalidTicket:
            continue
    return None


@post("/bookings/{booking_id:uuid}/refunds", status_code=200)
async def refund_booking(
    context: InjectedContext,
    caller: SignedInCaller,
    request: AnyRequest,
    booking_id: FromPath[UUID],
    data: JSONBody[StaffRefundRequest],
) -> StaffBookingView:
    """Refund a booking, some of its seats, or an amount; before the show and after it. For
    staff."""
    require(caller, *STAFF)
    if data.seats and data.amount_cents:
        raise Invalid("Name seats or amount_cents, not both.", field="amount_cents")
    command = RefundBooking(
        refund_id=data.refund_id,
        booking_id=booking_id,
        seats=data.seats or (),
        amount_cents=data.amount_cents,
        note=data.reason,
        by=actor_of(request, caller),
        by_id=caller.customer_id,
    )
    cancelled = await context.db.run(staff_refunds.refund_booking, command)
    context.hub.bookings_cancelled(cancelled.events)
    [found] = await context.db.read(lookup.read_bookings, [booking_id])
    return staff_booking_view(found, context.terms)


@post("/shows/{show_id:uuid}/refunds", status_code=200)
async def refund_show(
    context: InjectedContext,
    caller: SignedInCaller,
    request: AnyRequest,
    show_id: FromPath[UUID],
    data: JSONBody[ShowRefundRequest],
) -> ShowRefundProgress:
    """End the sale of a show, take it off the programme and refund its bookings, `limit` of them in
    this request and the rest in the background: see `/refunds/{refund_id}`. For managers."""
    require(caller, *MANAGERS)
    command = RefundShow(
        refund_id=data.refund_id,
        show_id=show_id,
        note=data.reason,
        limit=data.limit,
        by=actor_of(request, caller),
        by_id=caller.customer_id,
    )
    page = await context.db.run(show_refunds.refund_show, command)
    context.hub.bookings_cancelled(page.events)
    return page.progress


@get("/shows/{show_id:uuid}/refunds/{refund_id:uuid}")
async def show_refund(
    context: InjectedContext,
    caller: SignedInCaller,
    show_id: FromPath[UUID],
    refund_id: FromPath[UUID],
) -> ShowRefundProgress:
    """The progress of a show's refund. For managers and auditors."""
    require(caller, *MANAGERS, "auditor")
    found = await context.db.run(show_refunds.progress_of, show_id, refund_id)
    if found is None:
        raise NotFound
    return found


HANDLERS: Final[Sequence[ControllerRouterHandler]] = (
    look_up,
    refund_booking,
    refund_show,
    show_refund,
)
