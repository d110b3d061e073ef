"""The fake booking API."""

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask, Response, jsonify, request

from cinesync.chassis import clock
from tests.support.fake_apis.auth import caller_of
from tests.support.fake_apis.paging import page
from tests.support.fake_apis.state import HOLD, FakeApis, Refused, id_of

SHOW_MEMBERS = (
    "show_id", "movie_id", "movie_title", "theater_id", "theater_name", "auditorium_name", "city",
    "time_zone", "starts_at", "ends_at", "format", "language", "currency",
)  # fmt: skip
HOLD_MEMBERS = (
    "hold_id", "show_id", "region", "seats", "priced_seats", "total_cents", "currency", "status",
    "expires_at", "extensions_left", "payment_failure",
)  # fmt: skip
HOLD_ONLY = {"hold_id", "region", "server_time", "extensions_left", "customer"}
DETAIL_ONLY = {"ticket", "refused_payments", "receipt", "refunds"}


def install(app: Flask, apis: FakeApis) -> None:  # noqa: C901, PLR0915 a table of routes
    @app.get("/api/booking/shows/<uuid:show_id>/seats")
    def seat_map(show_id: UUID) -> Response:
        return jsonify(_seat_map(apis, str(show_id)))

    @app.get("/api/booking/shows/<uuid:show_id>/live")
    def live(show_id: UUID) -> Response:
        return Response(_changes(apis, str(show_id)), mimetype="text/event-stream")

    @app.post("/api/booking/holds")
    def hold() -> tuple[Response, int]:
        caller, body = caller_of(apis), request.get_json()
        seats = body.get("seats") or _best(apis, body)
        _refuse_taken(apis, body["show_id"], seats)
        booking = _new_booking(apis, body["show_id"], seats) | {"customer": caller}
        apis.bookings[booking["hold_id"]] = booking
        for seat in seats:
            _set(apis, body["show_id"], seat, "held")
        return jsonify(_hold_view(apis, booking)), 201

    @app.put("/api/booking/holds/<uuid:hold_id>/seats")
    def change_seats(hold_id: UUID) -> Response:
        booking, body = _mine(apis, hold_id), request.get_json()
        if booking["status"] != "held":
            raise Refused(409, "This hold is over.", type="/problems/hold-is-over")
        show_id, old = booking["show_id"], booking["seats"]
        seats = body.get("seats") or _best(apis, body | {"show_id": show_id})
        _refuse_taken(apis, show_id, [seat for seat in seats if seat not in old])
        for seat in old:
            _set(apis, show_id, seat, "free")
        for seat in seats:
            _set(apis, show_id, seat, "held")
        fresh = _new_booking(apis, show_id, seats)
        booking |= {name: fresh[name] for name in ("seats", "priced_seats", "total_cents")}
        return jsonify(_hold_view(apis, booking))

    @app.get("/api/booking/holds/<uuid:hold_id>")
    def held(hold_id: UUID) -> Response:
        return jsonify(_hold_view(apis, _mine(apis, hold_id)))

    @app.post("/api/booking/holds/<uuid:hold_id>/extend")
    def extend(hold_id: UUID) -> Response:
        booking = _mine(apis, hold_id)
        if booking["extensions_left"] == 0:
            raise Refused(422, "This hold cannot be extended again.", rule="extensions")
        booking["extensions_left"] -= 1
        booking["expires_at"] = _time(apis, HOLD)
        return jsonify(_hold_view(apis, booking))

    @app.delete("/api/booking/holds/<uuid:hold_id>")
    def release(hold_id: UUID) -> tuple[str, int]:
        booking = _mine(apis, hold_id) | {"status": "released"}
        for seat in booking["seats"]:
            _set(apis, booking["show_id"], seat, "free")
        apis.bookings[str(hold_id)] = booking
        return "", 204

    @app.get("/api/booking/bookings")
    def bookings() -> Response:
        caller = caller_of(apis)
        mine = [one for one in apis.bookings.values() if one["customer"] == caller]
        return page([_summary(one) for one in mine])

    @app.get("/api/booking/bookings/<uuid:booking_id>")
    def booking(booking_id: UUID) -> Response:
        return jsonify(_booking_view(_mine(apis, booking_id)))

    @app.get("/api/booking/bookings/<uuid:booking_id>/tickets")
    def tickets(booking_id: UUID) -> Response:
        booking = _mine(apis, booking_id)
        seats = booking["seats"] if booking["status"] == "confirmed" else []
        return page(
            [
                {"ticket_id": f"T{at}", "seat": seat, "ticket": f"{booking_id}.{seat}"}
                for at, seat in enumerate(seats)
            ]
        )

    @app.post("/api/booking/bookings/<uuid:booking_id>/cancel")
    def cancel(booking_id: UUID) -> Response:
        booking = _mine(apis, booking_id)
        if booking["status"] != "confirmed":
            raise Refused(409, "This booking is not confirmed.")
        going = (request.get_json(silent=True) or {}).get("seats") or booking["seats"]
        staying = [seat for seat in booking["seats"] if seat not in going]
        if staying:
            gone = [one for one in booking["priced_seats"] if one["seat"] in going]
            booking["priced_seats"] = [o for o in booking["priced_seats"] if o not in gone]
            booking |= {"seats": staying, "cancelled_seats": gone, "refund_state": "pending"}
            booking["refund_cents"] = sum(one["price_cents"] for one in gone)
            return jsonify(_booking_view(booking))
        booking |= {"status": "cancelled", "refund_state": "pending", "ticket": None}
        booking["refund_cents"] = booking["total_cents"]
        for seat in booking["seats"]:
            _set(apis, booking["show_id"], seat, "free")
        return jsonify(_booking_view(booking))


def _seat_map(apis: FakeApis, show_id: str) -> dict[str, Any]:
    show, layout, taken = apis.shows[show_id], apis.layouts[show_id], apis.taken[show_id]
    seats = [seat | {"state": taken.get(seat["seat"], "free")} for seat in layout]
    prices = {seat["zone"]: seat["price_cents"] for seat in layout}
    seat_map = {
        "show_id": show_id,
        "version": apis.version,
        "currency": show["currency"],
        "cancelled": False,
        "cancel_reason": None,
        "starts_at": show["starts_at"],
        "sales_close_at": show["starts_at"],
        "seats_per_hold_max": 10,
        "seats_left": sum(seat["state"] == "free" for seat in seats),
        "zones": [{"zone": zone, "price_cents": cents} for zone, cents in prices.items()],
        "seats": seats,
    }
    return seat_map | apis.seat_map_changes


def _changes(apis: FakeApis, show_id: str) -> Iterator[str]:
    """The changes, by polling; the real service pushes them."""
    known: dict[str, str] = dict(apis.taken[show_id])
    for _ in range(600):
        now = dict(apis.taken[show_id])
        changes = {
            seat: now.get(seat, "free")
            for seat in known.keys() | now.keys()
            if known.get(seat, "free") != now.get(seat, "free")
        }
        known = now
        yield f"event: seats\nid: {apis.version}\ndata: {json.dumps({'seats': changes})}\n\n"
        time.sleep(0.3)


def _time(apis: FakeApis, later: timedelta = timedelta()) -> str:
    return (clock.now() + apis.clock_ahead + later).isoformat()


def _set(apis: FakeApis, show_id: str, seat: str, state: str) -> None:
    apis.version += 1
    apis.taken[show_id][seat] = state


def _free(apis: FakeApis, show_id: str) -> list[str]:
    taken = apis.taken[show_id]
    return [
        seat["seat"]
        for seat in apis.layouts[show_id]
        if taken.get(seat["seat"], "free") == "free" and seat["kind"] == "standard"
    ]


def _best(apis: FakeApis, body: dict[str, Any]) -> list[str]:
    return _free(apis, body["show_id"])[: body["best"]]


def _refuse_taken(apis: FakeApis, show_id: str, seats: list[str]) -> None:
    taken = [s for s in seats if apis.taken[show_id].get(s, "free") != "free"]
    if taken:
        others = [_free(apis, show_id)[: len(seats)]]
        title = "Someone else has one of these seats."
        raise Refused(409, title, seats=taken, alternatives=others)


def _new_booking(apis: FakeApis, show_id: str, seats: list[str]) -> dict[str, Any]:
    """All that booking stores of a hold and the booking it becomes."""
    show, booking_id = apis.shows[show_id], str(clock.new_id())
    layout = {seat["seat"]: seat for seat in apis.layouts[show_id]}
    priced = [
        {name: layout[seat][name] for name in ("seat", "zone", "price_cents")} for seat in seats
    ]
    return {name: show[name] for name in SHOW_MEMBERS} | {
        "hold_id": booking_id,
        "booking_id": booking_id,
        "region": "local",
        "seats": seats,
        "priced_seats": priced,
        "total_cents": sum(one["price_cents"] for one in priced),
        "status": "held",
        "created_at": _time(apis),
        "expires_at": _time(apis, HOLD),
        "server_time": _time(apis),
        "extensions_left": 2,
        "confirmed_at": None,
        "late": False,
        "payment_id": None,
        "payment_failure": None,
        "ticket": None,
        "receipt": None,
        "cancel_until": show["starts_at"],
        "cancelled_at": None,
        "cancel_reason": None,
        "cancel_note": None,
        "cancelled_seats": [],
        "refund_state": "none",
        "refund_cents": 0,
        "refunded_cents": 0,
        "refunds": [],
        "refused_payments": [],
        "booked_starts_at": show["starts_at"],
        "is_moved": False,
    }


def _hold_view(apis: FakeApis, booking: dict[str, Any]) -> dict[str, Any]:
    view = {name: booking[name] for name in HOLD_MEMBERS}
    return view | {"server_time": _time(apis), "customer_id": id_of(booking["customer"])}


def _summary(booking: dict[str, Any]) -> dict[str, Any]:
    view = _booking_view(booking)
    return {name: value for name, value in view.items() if name not in DETAIL_ONLY}


def _booking_view(booking: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in booking.items() if name not in HOLD_ONLY}


def _mine(apis: FakeApis, booking_id: UUID) -> dict[str, Any]:
    caller = caller_of(apis)
    booking = apis.bookings.get(str(booking_id))
    if booking is None or booking["customer"] != caller:
        raise Refused(404, "There is no such hold or booking.")
    return booking


def confirm(apis: FakeApis, booking_id: str) -> None:
    """What the bus would bring about."""
    booking = apis.bookings[booking_id]
    booking |= {"status": "confirmed", "ticket": f"signed.{booking_id}.ticket"}
    for seat in booking["seats"]:
        _set(apis, booking["show_id"], seat, "booked")
