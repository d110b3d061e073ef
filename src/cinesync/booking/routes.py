"""The HTTP door of booking."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from litestar import Response, Router, delete, get, post, put
from litestar.datastructures import ResponseHeader
from litestar.di import NamedDependency, Provide
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from litestar.response import Stream
from litestar.types import Scope

from cinesync.booking import (
    cancellation_store,
    history_store,
    receipt_store,
    schemas,
    service,
    show_store,
    store,
)
from cinesync.booking.cancellation import CancelSeats, cancel_seats
from cinesync.booking.cancellation_store import RefundLine
from cinesync.booking.client_digests import email_key, is_staff
from cinesync.booking.context import Shop
from cinesync.booking.customer_routes import buyers
from cinesync.booking.history_store import RefusedPayment, Spending
from cinesync.booking.model import Booking, HoldSeats, Show, State
from cinesync.booking.receipt_store import BookingReceipt
from cinesync.booking.seat_changes import ChangeSeats
from cinesync.booking.tickets import TicketName
from cinesync.chassis import clock, telemetry
from cinesync.chassis.database import Transaction
from cinesync.chassis.http.content_encoding import VARY
from cinesync.chassis.http.cursor import Page, decode_cursor, instant, page_of
from cinesync.chassis.http.etags import matches, weak_etag
from cinesync.chassis.http.parameters import (
    AcceptEncoding,
    After,
    AnyRequest,
    IfNoneMatch,
    Limit,
    SignedInCaller,
)
from cinesync.chassis.http.security.access_tokens import Caller
from cinesync.chassis.http.security.authentication import SIGNED_IN, signed_in, verify_token
from cinesync.chassis.http.security.client_address import address_in
from cinesync.chassis.problems import Invalid, Problem

SHOWS_ASKED_MAX = 200
AGE_SECONDS = 1
SEAT_MAP_CACHING = b"no-cache"  # keep it, and ask each time whether it still holds
KEY_SECONDS = 300
EVENTS_TYPE = "text/event-stream"
EVENTS_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}
VERSION_DIGITS_MAX = 16
VERSION_MAX = 2**53

TheShop = NamedDependency[Shop]
Since = Annotated[
    int | None, QueryParameter(ge=0, le=VERSION_MAX, description="the version known already")
]
LastEventId = Annotated[str | None, HeaderParameter(name="Last-Event-ID")]
ShowIds = Annotated[str, QueryParameter(description="ids of shows, with commas between")]


@get(
    "/availability",
    responses={200: ResponseSpec(schemas.AvailabilityView, description="Seats left")},
)
async def availability(shop: TheShop, show_ids: ShowIds) -> Response[schemas.AvailabilityView]:
    """How many seats of these shows can be bought now, by moments: neither sold nor held."""
    found = await shop.availability.of(_show_ids(show_ids))
    return Response(
        schemas.AvailabilityView(found), headers={"Cache-Control": f"public, max-age={AGE_SECONDS}"}
    )


@get(
    "/shows/{show_id:uuid}/seats",
    responses={200: ResponseSpec(schemas.SeatMapView, description="The seat map")},
    response_headers=[ResponseHeader(name="ETag", documentation_only=True)],
)
async def seats(
    shop: TheShop,
    show_id: FromPath[UUID],
    if_none_match: IfNoneMatch = "",
    accept_encoding: AcceptEncoding = "",
) -> Response[bytes]:
    """The seats of a show with price and state. Its ETag is its version."""
    status, body, headers = await seat_map(shop, show_id, if_none_match, accept_encoding)
    told = {name.decode(): value.decode() for name, value in headers}
    return Response(body, status_code=status, media_type="application/json", headers=told)


async def seat_map(
    shop: Shop, show_id: UUID, if_none_match: str, accept_encoding: str
) -> tuple[int, bytes, Sequence[tuple[bytes, bytes]]]:
    """Status, JSON and headers. Raises UnknownShow."""
    version, shared = await shop.live.seat_map(
        show_id, lambda feed: schemas.seat_map(feed, shop.terms)
    )
    tag = f'"{version}"'
    headers = (b"etag", weak_etag(tag)), (b"cache-control", SEAT_MAP_CACHING)
    if matches(tag, if_none_match):
        return 304, b"", [*headers, VARY]
    body, coding = shared.encoded(accept_encoding)
    return 200, body, [*headers, *coding]


@get("/shows/{show_id:uuid}/live", media_type=EVENTS_TYPE)
async def live(
    shop: TheShop,
    request: AnyRequest,
    show_id: FromPath[UUID],
    since: Since = None,
    last_event_id: LastEventId = None,
) -> Stream:
    """Seat changes as they happen (server-sent events).

    `seats`: what changed. `snapshot`: every seat that is not free, when the version asked for
    is not known here. `show`: times or prices changed; fetch the seat map anew.
    """
    known = last_event_id if last_event_id is not None else str(since)
    stream = await listen(shop, show_id, known, address_in(request.scope))
    return Stream(stream, media_type=EVENTS_TYPE, headers=EVENTS_HEADERS)


async def listen(shop: Shop, show_id: UUID, known: str, address: str) -> AsyncIterator[bytes]:
    """From the version `known` on, if that is one. Raises as Live.listen."""
    is_version = known.isdecimal() and known.isascii() and len(known) <= VERSION_DIGITS_MAX
    return await shop.live.listen(show_id, int(known) if is_version else None, address)


@post("/holds", opt=SIGNED_IN)
async def make_hold(
    shop: TheShop, request: AnyRequest, data: JSONBody[schemas.HoldWish]
) -> schemas.HoldView:
    """Hold these seats, or the best so many side by side: all or none."""
    return await hold(shop, data, request.scope, partial(signed_in, request))


async def hold(
    shop: Shop, wish: schemas.HoldWish, scope: Scope, identify: Callable[[], Awaitable[Caller]]
) -> schemas.HoldView:
    """A new hold, whichever way it was asked for.

    Everybody may know which seats are gone: to tell costs less than to look at a token.
    """
    shop.check(wish.show_id, wish.choice)
    caller = await identify()
    seats, best, zone = wish.choice
    command = HoldSeats(
        hold_id=clock.new_id(),
        customer_id=caller.customer_id,
        is_guest=caller.is_guest,
        show_id=wish.show_id,
        seats=seats,
        best=best,
        zone=zone,
        email_key=email_key(caller),
        is_staff=(staff := is_staff(caller)),
        address_key=None if staff else shop.clients.address_key(scope),
        seen=wish.seen,
        accessible_need=wish.accessible_need,
        trace=telemetry.current_trace(),
    )
    telemetry.note(booking_id=command.hold_id)
    return schemas.new_hold(await shop.hold(command), shop.terms)


@get("/holds/{hold_id:uuid}")
async def get_hold(
    shop: TheShop, caller: SignedInCaller, hold_id: FromPath[UUID]
) -> schemas.HoldView:
    """A hold of yours, whatever has become of it."""
    booking = await shop.db.run_one(service.find_own, hold_id, caller.customer_id)
    return schemas.hold(booking, shop.terms)


@post("/holds/read", status_code=200)
async def read_holds(
    shop: TheShop, request: AnyRequest, data: JSONBody[schemas.HoldQuestions]
) -> schemas.HoldAnswers:
    """Several customers' holds at once, each with its own token: how payments ask for prices.

    Refused while payments could not be made into bookings (NotTaking).
    """
    shop.intake.check()
    found = await shop.db.run_one(store.find_bookings, [one.hold_id for one in data.items])
    answers: list[schemas.HoldAnswer] = []
    for question in data.items:
        try:
            caller = await verify_token(request, question.token)
            booking = service.own(found.get(question.hold_id), caller.customer_id)
        except Problem as problem:
            answers.append(schemas.HoldAnswer(problem.status, None))
        else:
            answers.append(schemas.HoldAnswer(HTTPStatus.OK, schemas.hold(booking, shop.terms)))
    return schemas.HoldAnswers(answers)


@delete("/holds/{hold_id:uuid}")
async def release_hold(shop: TheShop, caller: SignedInCaller, hold_id: FromPath[UUID]) -> None:
    """Give the seats back."""
    events = await shop.db.run(service.release_hold, hold_id, caller.customer_id)
    shop.live.seats_released(events)


@post("/holds/{hold_id:uuid}/extend", status_code=200)
async def extend_hold(
    shop: TheShop, caller: SignedInCaller, hold_id: FromPath[UUID]
) -> schemas.HoldView:
    """Keep the seats for the full time again: so many times, not beyond the show's start."""
    booking, events = await shop.db.run(
        service.extend_hold, hold_id, caller.customer_id, shop.terms
    )
    shop.live.seats_held(events)
    return schemas.hold(booking, shop.terms)


@put("/holds/{hold_id:uuid}/seats")
async def change_seats(
    shop: TheShop,
    caller: SignedInCaller,
    request: AnyRequest,
    hold_id: FromPath[UUID],
    data: JSONBody[schemas.SeatsWish],
) -> schemas.HoldView:
    """Other seats for a hold: all or none; what it has is kept until the new ones are won. Its
    time goes on as it was."""
    staff = is_staff(caller)
    change = ChangeSeats(
        hold_id=hold_id,
        customer_id=caller.customer_id,
        is_guest=caller.is_guest,
        email_key=email_key(caller),
        address_key=None if staff else shop.clients.address_key(request.scope),
        is_staff=staff,
        seats=data.seats,
        best=data.best or 0,
        zone=data.zone,
        seen=data.seen,
        accessible_need=data.accessible_need,
        trace=telemetry.current_trace(),
    )
    return schemas.hold(await shop.change_seats(change), shop.terms)


@get("/bookings")
async def list_bookings(
    shop: TheShop,
    caller: SignedInCaller,
    status: FromQuery[State | None] = None,
    after: After = None,
    limit: Limit = 20,
) -> Page[schemas.BookingView]:
    """Your bookings, the newest first; without `status`, those that were paid for."""
    statuses = [status] if status else [State.CONFIRMED, State.CANCELLED]
    key = decode_cursor(after, instant, UUID)
    rows, shows = await shop.db.read(_page, caller.customer_id, statuses, key, limit + 1)
    page = page_of(rows, limit, lambda row: (row.created_at, row.booking_id))
    items = [schemas.booking(row, shows[row.show_id], shop.terms) for row in page.items]
    return Page(items, page.next)


@get("/bookings/stats")
async def stats(shop: TheShop, caller: SignedInCaller) -> schemas.StatsView:
    """How many seats you bought, and what you spent, by month and currency."""
    months: list[Spending] = await shop.db.run_one(history_store.spending, caller.customer_id)
    return schemas.stats(months)


@get("/bookings/{booking_id:uuid}")
async def get_booking(
    shop: TheShop, caller: SignedInCaller, booking_id: FromPath[UUID]
) -> schemas.BookingDetail:
    """A booking of yours with its ticket. A hold that is being paid is found here as well."""
    found = await shop.db.read(_detail, booking_id, caller.customer_id)
    return _view(shop, *found)


@post("/bookings/{booking_id:uuid}/cancel", status_code=200)
async def cancel_booking(
    shop: TheShop,
    caller: SignedInCaller,
    booking_id: FromPath[UUID],
    data: JSONBody[schemas.CancelWish | None] = None,
) -> schemas.BookingDetail:
    """Give `seats` back, or all of them, until some time before the show: what was paid for them
    goes back. Of a show that was moved, until its start."""
    command = CancelSeats(
        booking_id=booking_id,
        customer_id=caller.customer_id,
        seats=data.seats or () if data else (),
    )
    cancelled = await shop.db.run(cancel_seats, command, shop.kept, shop.terms)
    shop.live.bookings_cancelled(cancelled.events)
    found = await shop.db.read(_detail, booking_id, caller.customer_id)
    return _view(shop, *found)


@get("/bookings/{booking_id:uuid}/tickets")
async def tickets(
    shop: TheShop, caller: SignedInCaller, booking_id: FromPath[UUID]
) -> Page[schemas.TicketView]:
    """A ticket for each seat of a booking of yours, for those who do not come together; the one of
    the booking admits them all."""
    booking, show, *_ = await shop.db.read(_detail, booking_id, caller.customer_id)
    seats = booking.seat_names if booking.state is State.CONFIRMED else []
    items = [
        schemas.TicketView(
            ticket_id=str(TicketName(booking_id, seat)),
            seat=seat,
            ticket=shop.signer.sign(booking, show, seat),
        )
        for seat in seats
    ]
    return Page(items, None)


@get("/tickets/jwks.json")
async def ticket_keys(shop: TheShop) -> Response[dict[str, Any]]:
    """The public keys that verify tickets, for scanners to keep."""
    return Response(shop.signer.jwks(), headers={"Cache-Control": f"max-age={KEY_SECONDS}"})


def router(shop: Shop) -> Router:
    """All of it under /api/booking."""
    return Router(
        "/api/booking",
        route_handlers=[
            availability,
            seats,
            live,
            make_hold,
            get_hold,
            read_holds,
            release_hold,
            extend_hold,
            change_seats,
            list_bookings,
            stats,
            get_booking,
            cancel_booking,
            tickets,
            ticket_keys,
            buyers,
        ],
        dependencies={"shop": Provide(lambda: shop, sync_to_thread=False)},
    )


def _show_ids(text: str) -> list[UUID]:
    """Raises Invalid."""
    try:
        show_ids = [UUID(one) for one in text.split(",")]
    except ValueError as error:
        raise Invalid("`show_ids` takes ids of shows, with commas between.") from error
    if len(show_ids) > SHOWS_ASKED_MAX:
        raise Invalid(f"`show_ids` takes {SHOWS_ASKED_MAX} at most.")
    return show_ids


async def _page(
    tx: Transaction,
    customer_id: UUID,
    statuses: Sequence[State],
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> tuple[list[Booking], dict[UUID, Show]]:
    rows = await history_store.bookings_page(tx, customer_id, statuses, after, limit)
    return rows, dict(await show_store.find_shows(tx, [row.show_id for row in rows]))


async def _detail(
    tx: Transaction, booking_id: UUID, customer_id: UUID
) -> tuple[Booking, Show, list[RefusedPayment], BookingReceipt | None, list[RefundLine]]:
    booking = await service.find_own(tx, booking_id, customer_id)
    show = await service.find_show(tx, booking.show_id)
    refused = await history_store.refusals_of(tx, booking_id)
    receipt = await receipt_store.of_booking(tx, booking_id)
    # Of a new booking, which is asked for again and again, there are none to look for.
    refunds = await cancellation_store.refunds_of(tx, booking_id) if booking.refund_cents else []
    return booking, show, refused, receipt, refunds


def _view(
    shop: Shop,
    booking: Booking,
    show: Show,
    refused: Sequence[RefusedPayment],
    receipt: BookingReceipt | None,
    refunds: Sequence[RefundLine],
) -> schemas.BookingDetail:
    is_valid = booking.state is State.CONFIRMED
    ticket = shop.signer.sign(booking, show) if is_valid else None
    return schemas.booking_detail(booking, show, shop.terms, ticket, refused, receipt, refunds)
