"""HTTP routes of holds, and the routers of all parts of booking."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from http import HTTPStatus
from typing import Final
from uuid import UUID

import msgspec
from litestar import Router, delete, get, post, put
from litestar.di import Provide
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler, Scope

from cinesync.booking import service, store
from cinesync.booking.admission import routes as admission_routes
from cinesync.booking.bookings import routes as bookings_routes
from cinesync.booking.context import BookingContext, InjectedContext
from cinesync.booking.held_limits.client_digests import email_key, is_staff
from cinesync.booking.model import HoldSeats
from cinesync.booking.personal_data import routes as personal_data_routes
from cinesync.booking.schemas import (
    HoldLookupRequest,
    HoldLookupResponse,
    HoldLookupResult,
    HoldRequest,
    HoldView,
    SeatChangeRequest,
    hold_view,
    new_hold_view,
)
from cinesync.booking.seat_changes import ChangeSeats
from cinesync.booking.seatmap import routes as seatmap_routes
from cinesync.booking.seatmap.routes import SeatMaps
from cinesync.booking.staff import routes as staff_routes
from cinesync.chassis import clock, telemetry
from cinesync.chassis.http.audit_log_api import audit_log_route
from cinesync.chassis.http.fast_path import FastPath, FastRequest, FastResponse, json_response
from cinesync.chassis.http.parameters import AnyRequest, SignedInCaller
from cinesync.chassis.http.security.access_tokens import Caller
from cinesync.chassis.http.security.authentication import SIGNED_IN, signed_in, verify_token
from cinesync.chassis.problems import Problem

HOLD_REQUEST: Final = msgspec.json.Decoder(HoldRequest)


@post("/holds", opt=SIGNED_IN)
async def make_hold(
    context: InjectedContext, request: AnyRequest, data: JSONBody[HoldRequest]
) -> HoldView:
    """Hold these seats, or the best so many side by side: all or none."""
    return await hold(context, data, request.scope, partial(signed_in, request))


async def make_hold_fast(context: BookingContext, request: FastRequest) -> FastResponse | None:
    """The fast path of `make_hold`."""
    body = request.json(HOLD_REQUEST)
    if body is None:
        return None
    return json_response(201, await hold(context, body, request.scope, request.caller))


async def hold(
    context: BookingContext,
    body: HoldRequest,
    scope: Scope,
    identify: Callable[[], Awaitable[Caller]],
) -> HoldView:
    """Both paths of a new hold.

    Which seats are gone is public, so a request that must fail is refused before its token is
    verified, which costs more.
    """
    context.holds.check(body.show_id, body.selection)
    caller = await identify()
    staff = is_staff(caller)
    command = HoldSeats(
        hold_id=clock.new_id(),
        customer_id=caller.customer_id,
        is_guest=caller.is_guest,
        show_id=body.show_id,
        selection=body.selection,
        email_key=email_key(caller),
        is_staff=staff,
        address_key=None if staff else context.clients.address_key(scope),
        seen=body.seen,
        accessible_need=body.accessible_need,
        trace=telemetry.current_trace(),
    )
    telemetry.note(booking_id=command.hold_id)
    return new_hold_view(await context.holds.hold(command), context.terms)


@get("/holds/{hold_id:uuid}")
async def get_hold(
    context: InjectedContext, caller: SignedInCaller, hold_id: FromPath[UUID]
) -> HoldView:
    """A hold of yours, in whatever state."""
    booking = await context.db.run_one(service.find_own, hold_id, caller.customer_id)
    return hold_view(booking, context.terms)


@post("/holds/read", status_code=200)
async def read_holds(
    context: InjectedContext, request: AnyRequest, data: JSONBody[HoldLookupRequest]
) -> HoldLookupResponse:
    """Several customers' holds, each with its own token: payment reads prices here.

    Refused (NotTaking) while booking cannot confirm payments.
    """
    context.intake.check()
    found = await context.db.run_one(store.find_bookings, [one.hold_id for one in data.items])
    results: list[HoldLookupResult] = []
    for lookup in data.items:
        try:
            caller = await verify_token(request, lookup.token)
            booking = service.own(found.get(lookup.hold_id), caller.customer_id)
        except Problem as problem:
            results.append(HoldLookupResult(problem.status, None))
        else:
            results.append(HoldLookupResult(HTTPStatus.OK, hold_view(booking, context.terms)))
    return HoldLookupResponse(results)


@delete("/holds/{hold_id:uuid}")
async def release_hold(
    context: InjectedContext, caller: SignedInCaller, hold_id: FromPath[UUID]
) -> None:
    """Release the seats."""
    events = await context.db.run(service.release_hold, hold_id, caller.customer_id)
    context.hub.seats_released(events)


@post("/holds/{hold_id:uuid}/extend", status_code=200)
async def extend_hold(
    context: InjectedContext, caller: SignedInCaller, hold_id: FromPath[UUID]
) -> HoldView:
    """Start the hold's full time again: a limited number of times, at most to the show's start."""
    booking, events = await context.db.run(
        service.extend_hold, hold_id, caller.customer_id, context.terms
    )
    context.hub.seats_held(events)
    return hold_view(booking, context.terms)


@put("/holds/{hold_id:uuid}/seats")
async def change_seats(
    context: InjectedContext,
    caller: SignedInCaller,
    request: AnyRequest,
    hold_id: FromPath[UUID],
    data: JSONBody[SeatChangeRequest],
) -> HoldView:
    """Change the seats of a hold: all or none. It keeps its old seats until it has the new ones,
    and its expiry does not change."""
    staff = is_staff(caller)
    command = ChangeSeats(
        hold_id=hold_id,
        customer_id=caller.customer_id,
        is_guest=caller.is_guest,
        email_key=email_key(caller),
        address_key=None if staff else context.clients.address_key(request.scope),
        is_staff=staff,
        selection=data.selection,
        seen=data.seen,
        accessible_need=data.accessible_need,
        trace=telemetry.current_trace(),
    )
    return hold_view(await context.holds.change_seats(command), context.terms)


def routers(context: BookingContext) -> list[ControllerRouterHandler]:
    """Everything under /api/booking."""
    handlers = [
        make_hold,
        get_hold,
        read_holds,
        release_hold,
        extend_hold,
        change_seats,
        *seatmap_routes.HANDLERS,
        *bookings_routes.HANDLERS,
        *admission_routes.HANDLERS,
        *staff_routes.HANDLERS,
        *personal_data_routes.HANDLERS,
    ]
    seat_maps = SeatMaps(context.hub, context.availability, context.terms)
    return [
        Router(
            "/api/booking",
            route_handlers=handlers,
            dependencies={
                "context": Provide(lambda: context, sync_to_thread=False),
                "seat_maps": Provide(lambda: seat_maps, sync_to_thread=False),
                "database": Provide(lambda: context.db, sync_to_thread=False),
            },
        ),
        audit_log_route("booking", context.db),
    ]


def fast_paths(context: BookingContext) -> Sequence[FastPath]:
    """Holds and seat maps: the requests of a rush."""
    return [
        FastPath("POST", "/api/booking/holds", partial(make_hold_fast, context)),
        *seatmap_routes.fast_paths(SeatMaps(context.hub, context.availability, context.terms)),
    ]
