"""The HTTP contract in memory: what the pages are developed and tested against."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from flask import Flask, Response, jsonify, redirect, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WerkzeugResponse

from cinesync.chassis import clock
from tests.support.fake_apis import auth
from tests.support.fake_apis import ledger as fake_ledger
from tests.support.fake_apis.auth import caller_of
from tests.support.fake_apis.world import HOLD, Refused, World


def build(world: World, ledger: fake_ledger.Ledger | None = None) -> Flask:
    """The APIs as one WSGI application; without a ledger when there is none."""
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]

    @app.before_request
    def note() -> Response | None:
        world.requests.append(
            {
                "method": request.method,
                "path": request.path,
                "headers": dict(request.headers),
                "args": request.args.to_dict(),
                "json": request.get_json(silent=True),
            }
        )
        if any(request.path.startswith(path) for path in world.garbled):
            return Response("<html>gateway</html>", 200, mimetype="text/html")
        for path, refused in world.faults.items():
            asked = f"{request.method} {request.path}" if " " in path else request.path
            if asked.startswith(path):
                raise refused
        return None

    _answers(app, world)
    _movies(app, world)
    auth.install(app, world)
    _booking(app, world)
    _payment(app, world)
    _bank(app, world)
    if ledger is not None:
        fake_ledger.install(app, ledger)
    return app


def _answers(app: Flask, world: World) -> None:
    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.extend(world.headers)
        return response

    @app.errorhandler(Refused)
    def refuse(refused: Refused) -> tuple[Response, int]:
        return jsonify(refused.body), refused.status

    @app.errorhandler(HTTPException)
    def unknown(error: HTTPException) -> tuple[str, int]:
        return "plain text, not JSON", error.code or 500


def _page(items: list[dict[str, Any]]) -> Response:
    limit = int(request.args.get("limit", 50))
    after = int(request.args.get("after", 0))
    following = str(after + limit) if len(items) > after + limit else None
    return jsonify(items=items[after : after + limit], next=following)


def _one(items: list[dict[str, Any]], name: str, wanted: UUID) -> Response:
    for item in items:
        if item[name] == str(wanted):
            return jsonify(item)
    raise Refused(404, "There is nothing here by that name.")


def _movies(app: Flask, world: World) -> None:  # noqa: C901 a table of routes
    @app.get("/api/movies/movies")
    def movies() -> Response:
        found = world.movies
        for name in ("genre", "certificate", "type", "language"):
            if wanted := request.args.get(name):
                found = [movie for movie in found if movie[name] == wanted]
        if q := request.args.get("q", "").lower():
            found = [movie for movie in found if q in movie["title"].lower()]
        return _page(found)

    @app.get("/api/movies/movies/<uuid:movie_id>")
    def movie(movie_id: UUID) -> Response:
        return _one(world.movies, "movie_id", movie_id)

    @app.get("/api/movies/theaters")
    def theaters() -> Response:
        city = request.args.get("city")
        return _page([one for one in world.theaters if city in (None, one["city"])])

    @app.get("/api/movies/theaters/<uuid:theater_id>")
    def theater(theater_id: UUID) -> Response:
        return _one(world.theaters, "theater_id", theater_id)

    @app.get("/api/movies/filters")
    def filters() -> Response:
        genres = sorted({movie["genre"] for movie in world.movies})
        certificates = ["G", "PG", "R", "Not Rated"]
        return jsonify(
            types=["film", "live"], certificates=certificates, genres=genres, languages=["en", "fr"]
        )

    @app.get("/api/movies/cities")
    def cities() -> Response:
        return _page([{"city": one["city"]} for one in world.theaters])

    @app.get("/api/movies/shows")
    def shows() -> Response:
        found = list(world.shows.values())
        for name in ("movie_id", "theater_id", "city"):
            if wanted := request.args.get(name):
                found = [show for show in found if show[name] == wanted]
        if day := request.args.get("date"):
            found = [show for show in found if _local_day(show) == day]
        return _page(sorted(found, key=lambda show: str(show["starts_at"])))

    @app.get("/api/movies/days")
    def days() -> Response:
        wanted = {name: request.args.get(name) for name in ("movie_id", "theater_id", "city")}
        shows_ = [
            s for s in world.shows.values() if all(v in {None, s[n]} for n, v in wanted.items())
        ]
        return jsonify(items=sorted({_local_day(show) for show in shows_}))

    @app.get("/api/movies/shows/<uuid:show_id>")
    def show(show_id: UUID) -> Response:
        return _one(list(world.shows.values()), "show_id", show_id)


def _local_day(show: dict[str, Any]) -> str:
    if business_date := show.get("business_date"):
        return str(business_date)
    starts = datetime.fromisoformat(show["starts_at"])
    return starts.astimezone(ZoneInfo(show["time_zone"])).date().isoformat()


def _booking(app: Flask, world: World) -> None:  # noqa: C901, PLR0915 a table of routes
    @app.get("/api/booking/shows/<uuid:show_id>/seats")
    def seats(show_id: UUID) -> Response:
        show = world.shows[str(show_id)]
        taken = world.taken[str(show_id)]
        told = [
            seat | {"state": taken.get(seat["seat"], "free")}
            for seat in world.layouts[str(show_id)]
        ]
        return jsonify(
            show_id=str(show_id),
            version=world.version,
            currency=show["currency"],
            seats=told,
            seats_per_hold_max=10,
            **world.seat_map_extra,
        )

    @app.get("/api/booking/shows/<uuid:show_id>/live")
    def live(show_id: UUID) -> Response:
        return Response(_changes(world, str(show_id)), mimetype="text/event-stream")

    @app.post("/api/booking/holds")
    def hold() -> tuple[Response, int]:
        caller, wanted = caller_of(world), request.get_json()
        seats = wanted.get("seats") or _best(world, wanted)
        _refuse_taken(world, wanted["show_id"], seats)
        booking = _new_booking(world, wanted["show_id"], seats) | {"customer": caller}
        world.bookings[booking["hold_id"]] = booking
        for seat in seats:
            _set(world, wanted["show_id"], seat, "held")
        return jsonify(booking), 201

    @app.put("/api/booking/holds/<uuid:hold_id>/seats")
    def change_seats(hold_id: UUID) -> Response:
        booking, wanted = _mine(world, hold_id), request.get_json()
        if booking["status"] != "held":
            raise Refused(409, "This hold is over.", type="/problems/hold-is-over")
        show_id, old = booking["show_id"], booking["seats"]
        seats = wanted.get("seats") or _best(world, wanted | {"show_id": show_id})
        _refuse_taken(world, show_id, [seat for seat in seats if seat not in old])
        for seat in old:
            _set(world, show_id, seat, "free")
        for seat in seats:
            _set(world, show_id, seat, "held")
        fresh = _new_booking(world, show_id, seats)
        booking |= {name: fresh[name] for name in ("seats", "priced_seats", "total_cents")}
        return jsonify(booking | {"server_time": _time(world)})

    @app.get("/api/booking/holds/<uuid:hold_id>")
    def held(hold_id: UUID) -> Response:
        return jsonify(_mine(world, hold_id) | {"server_time": _time(world)})

    @app.post("/api/booking/holds/<uuid:hold_id>/extend")
    def extend(hold_id: UUID) -> Response:
        booking = _mine(world, hold_id)
        if booking["extensions_left"] == 0:
            raise Refused(422, "This hold cannot be extended again.", rule="extensions")
        booking["extensions_left"] -= 1
        booking["expires_at"] = _time(world, HOLD)
        return jsonify(booking | {"server_time": _time(world)})

    @app.delete("/api/booking/holds/<uuid:hold_id>")
    def release(hold_id: UUID) -> tuple[str, int]:
        booking = _mine(world, hold_id) | {"status": "released"}
        for seat in booking["seats"]:
            _set(world, booking["show_id"], seat, "free")
        world.bookings[str(hold_id)] = booking
        return "", 204

    @app.get("/api/booking/bookings")
    def bookings() -> Response:
        caller = caller_of(world)
        return _page([one for one in world.bookings.values() if one["customer"] == caller])

    @app.get("/api/booking/bookings/<uuid:booking_id>")
    def booking(booking_id: UUID) -> Response:
        return jsonify(_mine(world, booking_id))

    @app.get("/api/booking/bookings/<uuid:booking_id>/tickets")
    def tickets(booking_id: UUID) -> Response:
        booking = _mine(world, booking_id)
        seats = booking["seats"] if booking["status"] == "confirmed" else []
        return _page([{"seat": seat, "ticket": f"{booking_id}.{seat}"} for seat in seats])

    @app.post("/api/booking/bookings/<uuid:booking_id>/cancel")
    def cancel(booking_id: UUID) -> Response:
        booking = _mine(world, booking_id)
        if booking["status"] != "confirmed":
            raise Refused(409, "This booking is not confirmed.")
        going = (request.get_json(silent=True) or {}).get("seats") or booking["seats"]
        staying = [seat for seat in booking["seats"] if seat not in going]
        if staying:
            gone = [one for one in booking["priced_seats"] if one["seat"] in going]
            booking["priced_seats"] = [o for o in booking["priced_seats"] if o not in gone]
            booking |= {"seats": staying, "cancelled_seats": gone, "refund_state": "pending"}
            booking["refund_cents"] = sum(one["price_cents"] for one in gone)
            return jsonify(booking)
        booking |= {"status": "cancelled", "refund_state": "pending", "ticket": None}
        booking["refund_cents"] = booking["total_cents"]
        for seat in booking["seats"]:
            _set(world, booking["show_id"], seat, "free")
        return jsonify(booking)


def _changes(world: World, show_id: str) -> Iterator[str]:
    """One look a second, as a stream; the real service pushes."""
    import time  # noqa: PLC0415 only this stream waits

    known: dict[str, str] = dict(world.taken[show_id])
    for _ in range(600):
        now = dict(world.taken[show_id])
        told = {
            seat: now.get(seat, "free")
            for seat in known.keys() | now.keys()
            if known.get(seat, "free") != now.get(seat, "free")
        }
        known = now
        yield f"event: seats\nid: {world.version}\ndata: {json.dumps({'seats': told})}\n\n"
        time.sleep(0.3)


def _time(world: World, later: timedelta = timedelta()) -> str:
    return (clock.now() + world.clock_ahead + later).isoformat()


def _set(world: World, show_id: str, seat: str, state: str) -> None:
    world.version += 1
    world.taken[show_id][seat] = state


def _free(world: World, show_id: str) -> list[str]:
    taken = world.taken[show_id]
    return [
        seat["seat"]
        for seat in world.layouts[show_id]
        if taken.get(seat["seat"], "free") == "free" and seat["kind"] == "standard"
    ]


def _best(world: World, wanted: dict[str, Any]) -> list[str]:
    return _free(world, wanted["show_id"])[: wanted["best"]]


def _refuse_taken(world: World, show_id: str, seats: list[str]) -> None:
    taken = [s for s in seats if world.taken[show_id].get(s, "free") != "free"]
    if taken:
        others = [_free(world, show_id)[: len(seats)]]
        title = "Someone else has one of these seats."
        raise Refused(409, title, seats=taken, alternatives=others)


def _new_booking(world: World, show_id: str, seats: list[str]) -> dict[str, Any]:
    show, booking_id = world.shows[show_id], str(clock.new_id())
    prices = {seat["seat"]: seat["price_cents"] for seat in world.layouts[show_id]}
    copied = ("show_id", "movie_title", "theater_name", "auditorium_name", "city", "time_zone")
    return {name: show[name] for name in (*copied, "starts_at", "currency")} | {
        "hold_id": booking_id,
        "booking_id": booking_id,
        "seats": seats,
        "priced_seats": [{"seat": seat, "price_cents": prices[seat]} for seat in seats],
        "total_cents": sum(prices[seat] for seat in seats),
        "status": "held",
        "expires_at": _time(world, HOLD),
        "server_time": _time(world),
        "extensions_left": 2,
        "refund_state": "none",
    }


def _mine(world: World, booking_id: UUID) -> dict[str, Any]:
    caller = caller_of(world)
    booking = world.bookings.get(str(booking_id))
    if booking is None or booking["customer"] != caller:
        raise Refused(404, "There is no such hold or booking.")
    return booking


def _payment(app: Flask, world: World) -> None:
    @app.get("/api/payment/provider")
    def provider() -> Response:
        return jsonify(
            {"provider": world.provider, "takes_test_cards": world.provider == "sandbox"}
        )

    @app.post("/api/payment/payments")
    def pay() -> tuple[Response, int]:
        caller_of(world)
        key, given = request.headers["Idempotency-Key"], request.get_json()
        if key not in world.keys:
            payment = _new_payment(world, given)
            world.keys[key] = payment["payment_id"]
            world.payments[payment["payment_id"]] = payment
        payment = world.payments[world.keys[key]]
        return jsonify(payment), 202 if payment["status"] == "pending" else 201

    @app.get("/api/payment/payments/<uuid:payment_id>")
    def payment(payment_id: UUID) -> Response:
        caller_of(world)
        payment = world.payments.get(str(payment_id))
        if payment is None:
            raise Refused(404, "There is no such payment.")
        if world.bank_answers and payment["status"] == "pending" and not payment["confirm_url"]:
            payment["looks"] = payment.get("looks", 0) + 1
            if payment["looks"] > 1:
                payment["status"] = "success"
                confirm(world, payment["hold_id"])
        return jsonify(payment)


def _bank(app: Flask, world: World) -> None:
    """Where a card holder says yes."""

    @app.get("/api/bank/<hold_id>")
    def ask(hold_id: str) -> str:
        return f'<form method="post"><button>Yes, pay</button>{hold_id}</form>'

    @app.post("/api/bank/<hold_id>")
    def agree(hold_id: str) -> WerkzeugResponse:
        for payment in world.payments.values():
            if payment["hold_id"] == hold_id:
                payment["status"] = "success"
        confirm(world, hold_id)
        return redirect(f"/holds/{hold_id}/payment", 303)


def _new_payment(world: World, given: dict[str, Any]) -> dict[str, Any]:
    booking = world.bookings[given["hold_id"]]
    outcomes = {
        "tok_approve": ("success", None),
        "tok_decline": ("failed", "card_declined"),
        "tok_insufficient_funds": ("failed", "insufficient_funds"),
    }
    status, reason = outcomes.get(given["token"], ("pending", None))
    if not given["token"]:
        if booking["total_cents"]:
            raise Refused(422, "Say which card to charge.", type="/problems/token-missing")
        status = "success"
    asks_first = given["token"] == "tok_3ds"
    payment = {
        "payment_id": str(clock.new_id()),
        "hold_id": given["hold_id"],
        "status": status,
        "failure_reason": reason,
        "amount_cents": booking["total_cents"],
        "currency": booking["currency"],
        "confirm_url": f"{world.bank_url}/{given['hold_id']}" if asks_first else None,
    }
    if status == "success":
        confirm(world, given["hold_id"])
    return payment


def confirm(world: World, booking_id: str) -> None:
    """What the bus would bring about."""
    booking = world.bookings[booking_id]
    booking |= {"status": "confirmed", "ticket": f"signed.{booking_id}.ticket"}
    for seat in booking["seats"]:
        _set(world, booking["show_id"], seat, "booked")
