"""HTTP routes of a customer's bookings; and for services, who has bought something."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from litestar import get, post
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.types import ControllerRouterHandler

from cinesync.booking.bookings import service, store
from cinesync.booking.bookings.schemas import (
    BookingDetail,
    BookingView,
    BuyersRequest,
    BuyersView,
    CancelRequest,
    StatsView,
    TicketView,
    booking_detail,
    booking_view,
    stats_view,
)
from cinesync.booking.bookings.service import OwnBooking
from cinesync.booking.cancellation.service import CancelSeats, cancel_seats
from cinesync.booking.context import BookingContext, InjectedContext
from cinesync.booking.model import BookingState
from cinesync.booking.tickets import TicketId
from cinesync.chassis.http.cursor import Page, decode_cursor, instant, page_of
from cinesync.chassis.http.parameters import After, Limit, SignedInCaller
from cinesync.chassis.http.security.access_tokens import SERVICE_ROLE, require


@get("/bookings")
async def list_bookings(
    context: InjectedContext,
    caller: SignedInCaller,
    status: FromQuery[BookingState | None] = None,
    after: After = None,
    limit: Limit = 20,
) -> Page[BookingView]:
    """Your bookings, the newest first; without `status`, those that were paid for."""
    statuses = [status] if status else [BookingState.CONFIRMED, BookingState.CANCELLED]
    key = decode_cursor(after, instant, UUID)
    rows, shows = await context.db.read(
        service.list_bookings, caller.customer_id, statuses, key, limit + 1
    )
    page = page_of(rows, limit, lambda row: (row.created_at, row.booking_id))
    items = [booking_view(row, shows[row.show_id], context.terms) for row in page.items]
    return Page(items, page.next)


@get("/bookings/stats")
async def stats(context: InjectedContext, caller: SignedInCaller) -> StatsView:
    """How many seats you bought, and what you spent, by month and currency."""
    return stats_view(await context.db.run_one(store.spending, caller.customer_id))


@get("/bookings/{booking_id:uuid}")
async def get_booking(
    context: InjectedContext, caller: SignedInCaller, booking_id: FromPath[UUID]
) -> BookingDetail:
    """A booking of yours with its ticket. A hold that is being paid is found here as well."""
    found = await context.db.read(service.find_booking, booking_id, caller.customer_id)
    return _detail(context, found)


@post("/bookings/{booking_id:uuid}/cancel", status_code=200)
async def cancel_booking(
    context: InjectedContext,
    caller: SignedInCaller,
    booking_id: FromPath[UUID],
    data: JSONBody[CancelRequest | None] = None,
) -> BookingDetail:
    """Cancel `seats`, or all of them, until some time before the show: their price is refunded. If
    the show was moved, until its start."""
    command = CancelSeats(
        booking_id=booking_id,
        customer_id=caller.customer_id,
        seats=data.seats or () if data else (),
    )
    cancelled = await context.db.run(cancel_seats, command, context.show_cache, context.terms)
    context.hub.bookings_cancelled(cancelled.events)
    found = await context.db.read(service.find_booking, booking_id, caller.customer_id)
    return _detail(context, found)


def _detail(context: BookingContext, found: OwnBooking) -> BookingDetail:
    is_valid = found.booking.state is BookingState.CONFIRMED
    ticket = context.signer.sign(found.booking, found.show) if is_valid else None
    return booking_detail(found, context.terms, ticket)


@get("/bookings/{booking_id:uuid}/tickets")
async def tickets(
    context: InjectedContext, caller: SignedInCaller, booking_id: FromPath[UUID]
) -> Page[TicketView]:
    """A ticket for each seat of a booking of yours, for people who arrive separately; the booking's
    own ticket admits them all."""
    found = await context.db.read(service.find_booking, booking_id, caller.customer_id)
    booking = found.booking
    seats = booking.seat_names if booking.state is BookingState.CONFIRMED else []
    items = [
        TicketView(
            ticket_id=str(TicketId(booking_id, seat)),
            seat=seat,
            ticket=context.signer.sign(booking, found.show, seat),
        )
        for seat in seats
    ]
    return Page(items, None)


@post("/customers/buyers", status_code=200)
async def buyers(
    context: InjectedContext, caller: SignedInCaller, data: JSONBody[BuyersRequest]
) -> BuyersView:
    """For services: who of these customers has ever bought something here."""
    require(caller, SERVICE_ROLE)
    return BuyersView(await context.db.run_one(store.buyers, data.customer_ids))


HANDLERS: Final[Sequence[ControllerRouterHandler]] = (
    list_bookings,
    stats,
    get_booking,
    cancel_booking,
    tickets,
    buyers,
)
