"""A body says nothing that is not heard: unknown members are refused, in every API."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast
from unittest.mock import MagicMock
from uuid import UUID

import httpx
import msgspec
import pytest
from litestar import Litestar, post
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler

from cinesync.auth.routes import auth_router
from cinesync.bank import app as bank_app
from cinesync.booking import routes as booking_routes
from cinesync.chassis import clock
from cinesync.chassis.http.app import service_app
from cinesync.chassis.http.fast_path import FastPath
from cinesync.chassis.http.security.access_tokens import Verifier
from cinesync.chassis.http.strict_bodies import LenientBody
from cinesync.ledger import routes as ledger_routes
from cinesync.movies import routes as movies_routes
from cinesync.payment import routes as payment_routes
from cinesync.payment.context import PaymentContext
from cinesync.payment.staff_routes import staff_router as payment_staff_router
from cinesync.payment.webhook_routes import webhook_router
from tests.conftest import MakeClient, Sign

ANYTHING = cast(Any, None)  # nothing behind the body is reached
STRANGER = "nobody_knows_this"
METHODS = ("post", "put", "patch", "delete")
# Signed by the provider over its bytes, and read by the provider's own rules.
NOT_OURS = "/webhooks/"


class Api(NamedTuple):
    """A service's routes, over nothing."""

    name: str
    routes: Sequence[ControllerRouterHandler]
    fast_paths: Sequence[FastPath] = ()


def apis() -> list[Api]:
    booking = MagicMock()
    payment = PaymentContext(ANYTHING, ANYTHING, "")
    return [
        Api("auth", [auth_router(*[ANYTHING] * 6)]),
        Api("movies", [movies_routes.router(ANYTHING)]),
        Api("booking", booking_routes.routers(booking), booking_routes.fast_paths(booking)),
        Api(
            "payment",
            [
                payment_routes.router(payment),
                payment_staff_router(payment),
                webhook_router(payment),
            ],
            payment_routes.fast_paths(payment),
        ),
        Api("ledger", ledger_routes.routes(ANYTHING)),
    ]


class Attempt(NamedTuple):
    """A body with a stranger in it, and what the answer must name."""

    method: str
    path: str
    body: dict[str, Any]
    named: str

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.named}"


def attempts(app: Litestar) -> Iterator[Attempt]:
    described = app.openapi_schema.to_schema()
    for path, operations in described["paths"].items():
        for method in METHODS:
            if method in operations and NOT_OURS not in path:
                yield from _of_operation(described, path, method, operations[method])


def _of_operation(
    described: dict[str, Any], path: str, method: str, operation: dict[str, Any]
) -> Iterator[Attempt]:
    filled = path
    for parameter in operation.get("parameters", ()):
        filled = filled.replace(f"{{{parameter['name']}}}", str(UUID(int=1)))
    yield Attempt(method, filled, {STRANGER: 1}, STRANGER)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    for names, inside in _objects(described, body.get("schema", {}), ()):
        yield Attempt(method, filled, inside, f"{names}{STRANGER}")


def _objects(
    described: dict[str, Any], schema: dict[str, Any], above: tuple[str, ...]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object inside a body, with a stranger in it, as (where, body)."""
    schema = _resolved(described, schema)
    for name, member in schema.get("properties", {}).items():
        found = _resolved(described, member)
        if found.get("type") == "array":
            inside = _resolved(described, found.get("items", {}))
            if "properties" in inside:
                yield f"{name}[0].", {name: [{STRANGER: 1}]}
        elif "properties" in found:
            yield f"{name}.", {name: {STRANGER: 1}}


def _resolved(described: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    for one in schema.get("oneOf", ()):
        if one.get("type") != "null":
            return _resolved(described, one)
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return _resolved(described, described["components"]["schemas"][name])
    return schema


@pytest.mark.parametrize("api", apis(), ids=lambda api: api.name)
async def test_every_body_of_every_service_refuses_what_it_does_not_know(
    api: Api, make_client: MakeClient, sign: Sign, verifier: Verifier
) -> None:
    client = make_client(api.name, list(api.routes), api.fast_paths)
    client.headers["Authorization"] = f"Bearer {sign(clock.new_id(), 'manager')}"
    tried = list(attempts(service_app(api.name, list(api.routes), verifier)))
    assert tried or api.name == "ledger"  # it takes no bodies at all
    for attempt in tried:
        answer = await client.request(attempt.method.upper(), attempt.path, json=attempt.body)
        assert answer.status_code == 400, f"{attempt}: {answer.text}"
        problem = answer.json()
        assert problem["type"] == "/problems/unknown-member", attempt
        assert problem["members"] == [attempt.named], attempt


async def test_to_cancel_single_seats_by_a_wrong_name_cancels_nothing(
    make_client: MakeClient, sign: Sign
) -> None:
    client = make_client("booking", booking_routes.routers(MagicMock()))
    client.headers["Authorization"] = f"Bearer {sign(clock.new_id())}"
    path = f"/api/booking/bookings/{clock.new_id()}/cancel"
    answer = await client.post(path, json={"seat": "F5"})
    assert (answer.status_code, answer.json()["members"]) == (400, ["seat"])


@pytest.mark.parametrize("body", [b"[1]", b'"F5"', b"null", b"{"])
async def test_a_request_without_a_body_takes_none(
    make_client: MakeClient, sign: Sign, body: bytes
) -> None:
    client = make_client("booking", booking_routes.routers(MagicMock()))
    client.headers["Authorization"] = f"Bearer {sign(clock.new_id())}"
    answer = await client.post(
        f"/api/booking/holds/{clock.new_id()}/extend",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/no-body-taken")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/charges", {STRANGER: 1}),
        ("/refunds", {STRANGER: 1}),
        ("/charges/ch_1/cancel", {STRANGER: 1}),
    ],
)
async def test_the_bank_refuses_what_it_does_not_know(
    tmp_path: Path, path: str, body: dict[str, int]
) -> None:
    settings = bank_app.Settings(port=0, data=tmp_path / "bank.sqlite", webhook_url="", secret="s")
    bank = bank_app.create(settings)
    transport = httpx.ASGITransport(cast(Any, bank.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://bank") as client:
        headers = {"Authorization": "Bearer s", "Idempotency-Key": "k"}
        answer = await client.post(path, json=body, headers=headers)
    await bank.close()
    assert answer.status_code == 400
    assert STRANGER in answer.text


class Lenient(msgspec.Struct):
    """Passes over what it does not know."""

    size: int = 1


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """Would pass over it inside."""

    parts: list[Lenient | None] = []


@pytest.mark.parametrize("kind", [Lenient, Strict, dict[str, Lenient]])
def test_a_service_with_a_lenient_body_cannot_be_built(verifier: Verifier, kind: Any) -> None:
    @post("/api/toy/orders")
    async def order(data: JSONBody[kind]) -> None:
        """Order popcorn."""

    with pytest.raises(LenientBody, match="Lenient"):
        service_app("toy", [order], verifier)
