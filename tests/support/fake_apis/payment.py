"""The fake payment API, and the page of the sandbox bank."""

from typing import Any
from uuid import UUID

from flask import Flask, Response, jsonify, redirect, request
from werkzeug.wrappers import Response as WerkzeugResponse

from cinesync.chassis import clock
from tests.support.fake_apis.auth import caller_of
from tests.support.fake_apis.booking import confirm
from tests.support.fake_apis.state import FakeApis, Refused


def install(app: Flask, apis: FakeApis) -> None:
    _payment(app, apis)
    _bank(app, apis)


def _payment(app: Flask, apis: FakeApis) -> None:
    @app.get("/api/payment/provider")
    def provider() -> Response:
        return jsonify({"provider": apis.provider, "takes_test_cards": apis.provider == "sandbox"})

    @app.post("/api/payment/payments")
    def pay() -> tuple[Response, int]:
        caller_of(apis)
        key, body = request.headers["Idempotency-Key"], request.get_json()
        if key not in apis.keys:
            payment = _new_payment(apis, body)
            apis.keys[key] = payment["payment_id"]
            apis.payments[payment["payment_id"]] = payment
        payment = apis.payments[apis.keys[key]]
        return jsonify(payment), 202 if payment["status"] == "pending" else 201

    @app.get("/api/payment/payments/<uuid:payment_id>")
    def payment(payment_id: UUID) -> Response:
        caller_of(apis)
        payment = apis.payments.get(str(payment_id))
        if payment is None:
            raise Refused(404, "There is no such payment.")
        if apis.bank_answers and payment["status"] == "pending" and not payment["confirm_url"]:
            apis.looks[payment["payment_id"]] = apis.looks.get(payment["payment_id"], 0) + 1
            if apis.looks[payment["payment_id"]] > 1:
                payment["status"] = "success"
                confirm(apis, payment["hold_id"])
        return jsonify(payment)


def _bank(app: Flask, apis: FakeApis) -> None:
    """Where a card holder says yes."""

    @app.get("/api/bank/<hold_id>")
    def ask(hold_id: str) -> str:
        return f'<form method="post"><button>Yes, pay</button>{hold_id}</form>'

    @app.post("/api/bank/<hold_id>")
    def agree(hold_id: str) -> WerkzeugResponse:
        for payment in apis.payments.values():
            if payment["hold_id"] == hold_id:
                payment["status"] = "success"
        confirm(apis, hold_id)
        return redirect(f"/holds/{hold_id}/payment", 303)


def _new_payment(apis: FakeApis, body: dict[str, Any]) -> dict[str, Any]:
    booking = apis.bookings[body["hold_id"]]
    outcomes = {
        "tok_approve": ("success", None),
        "tok_decline": ("failed", "card_declined"),
        "tok_insufficient_funds": ("failed", "insufficient_funds"),
    }
    status, reason = outcomes.get(body["token"], ("pending", None))
    if not body["token"]:
        if booking["total_cents"]:
            raise Refused(422, "Say which card to charge.", type="/problems/token-missing")
        status = "success"
    asks_first = body["token"] == "tok_3ds"
    payment = {
        "payment_id": str(clock.new_id()),
        "hold_id": body["hold_id"],
        "status": status,
        "failure_reason": reason,
        "amount_cents": booking["total_cents"],
        "currency": booking["currency"],
        "provider": apis.provider,
        "refunded_cents": 0,
        "created_at": clock.now().isoformat(),
        "settled_at": None,
        "confirm_url": f"{apis.bank_url}/{body['hold_id']}" if asks_first else None,
    }
    if status == "success":
        confirm(apis, body["hold_id"])
    return payment
