"""The baseline's HTTP routes: `POST /holds` and `POST /payments`, for signed-in buyers."""

import os
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import requests
from flask import Flask, Response, g, jsonify, request
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import sessionmaker

from bench.baseline import service
from bench.baseline.models import Payment
from bench.baseline.service import Refused

BANK_SECONDS_MAX = 10

Charge = Callable[[Payment], dict[str, Any]]


def create_app() -> Flask:
    """For a server: everything from the environment."""
    environ = os.environ  # noqa: TID251 not part of the product
    engine = create_engine(
        environ["BASELINE_DATABASE_URL"],
        pool_size=int(environ["BASELINE_THREADS"]),
        max_overflow=0,
    )
    jwks = requests.get(environ["BASELINE_JWKS_URL"], timeout=BANK_SECONDS_MAX).json()
    charge = bank(environ["BANK_URL"], environ["BANK_SECRET"])
    return build(engine, KeySet.import_key_set(jwks), charge)


def bank(url: str, secret: str) -> Charge:
    """Takes money over a keep-alive connection of each thread."""
    local = threading.local()

    def charge(payment: Payment) -> dict[str, Any]:
        if not hasattr(local, "session"):
            local.session = requests.Session()
            local.session.headers["Authorization"] = f"Bearer {secret}"
        answer = local.session.post(
            f"{url}/charges",
            json={
                "amount_cents": payment.amount_cents,
                "currency": "EUR",
                "token": "tok_approve",
            },
            headers={"Idempotency-Key": str(payment.payment_id)},
            timeout=BANK_SECONDS_MAX,
        )
        answer.raise_for_status()
        taken: dict[str, Any] = answer.json()
        return taken

    return charge


def build(engine: Engine, keys: KeySet, charge: Charge) -> Flask:
    """The application."""
    app = Flask("baseline")
    sessions = sessionmaker(engine, expire_on_commit=False)

    @app.errorhandler(Refused)
    def refuse(refused: Refused) -> tuple[Response, int]:
        return jsonify(detail=str(refused)), refused.status

    @app.before_request
    def sign_in() -> None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            claims = jwt.decode(token, keys, algorithms=["ES256"]).claims
            jwt.JWTClaimsRegistry(iss={"essential": True, "value": "cinesync"}).validate(claims)
        except (JoseError, ValueError) as error:
            raise Refused(401, f"not a valid {scheme} token") from error
        g.customer_id = UUID(claims["sub"])

    @app.post("/holds")
    def make_hold() -> tuple[Response, int]:
        show_id = UUID(request.get_json()["show_id"])
        with sessions.begin() as session:
            booking = service.hold(session, g.customer_id, show_id)
        return jsonify(
            hold_id=booking.booking_id,
            show_id=booking.show_id,
            seats=[booking.seat],
            total_cents=booking.price_cents,
            expires_at=booking.expires_at.isoformat(),
        ), 201

    @app.post("/payments")
    def pay() -> tuple[Response, int]:
        hold_id, key = UUID(request.get_json()["hold_id"]), request.headers["Idempotency-Key"]
        with sessions.begin() as session:
            payment = service.begin_payment(session, g.customer_id, hold_id, key)
        if payment.status == "pending":
            charged = charge(payment)  # never inside a transaction
            with sessions.begin() as session:
                if charged["state"] == "captured":
                    payment = service.confirm(session, payment.payment_id, charged["charge_id"])
                else:
                    payment = service.fail(session, payment.payment_id)
        return jsonify(payment_id=payment.payment_id, status=payment.status), 201

    return app
