"""Responses that every service gives over HTTP."""

import base64
import json
import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import httpx
import msgspec
import pytest
from joserfc.jwk import ECKey
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from prometheus_client import REGISTRY

from cinesync.chassis import clock, telemetry
from cinesync.chassis.database import Transaction, text
from cinesync.chassis.http.app import service_app
from cinesync.chassis.http.cursor import Page, decode_cursor, encode_cursor
from cinesync.chassis.http.observation import ObservedApp
from cinesync.chassis.http.security.access_tokens import Caller, Verifier
from cinesync.chassis.problems import Problem, TooMany
from tests.conftest import MakeDatabase, Sign

CUSTOMER = UUID(int=7)
JSON = {"content-type": "application/json"}


class SeatTaken(Problem):
    """Someone else has one of these seats."""

    status = 409


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """Popcorn."""

    size: Annotated[str, msgspec.Meta(max_length=10)]
    count: Annotated[int, msgspec.Meta(ge=1, le=9)] = 1


@post("/api/toy/orders")
async def take_order(data: JSONBody[Order]) -> Order:
    """Order popcorn."""
    return data


@get("/api/toy/orders")
async def list_orders(
    after: FromQuery[str] = "", limit: Annotated[int, QueryParameter(ge=1)] = 5
) -> Page[list[str]]:
    """Pages of what came in."""
    return Page([list(decode_cursor(after, str, str) or ())], encode_cursor("b", limit))


@get("/api/toy/orders/{order_id:uuid}")
async def show_order(order_id: FromPath[UUID]) -> dict[str, str]:
    """One order."""
    return {"order_id": str(order_id)}


@get("/me")
async def me(caller: NamedDependency[Caller]) -> dict[str, str]:
    """Whoever signs in."""
    return {"customer_id": str(caller.customer_id)}


@get("/api/toy/maybe")
async def maybe(visitor: NamedDependency[Caller | None]) -> dict[str, bool]:
    """Whoever comes."""
    return {"known": visitor is not None}


@get("/api/toy/fail/{how:str}")
async def fail(how: FromPath[str]) -> dict[str, str]:
    """In several ways."""
    failures: dict[str, Exception] = {
        "taken": SeatTaken("F7 is gone.", seats=["F7"]),
        "often": TooMany(retry_after_seconds=17),
        "crash": RuntimeError("the password is popcorn"),
        "internal": HTTPException(status_code=500, detail="the password is popcorn"),
    }
    raise failures[how]


ROUTES: list[ControllerRouterHandler] = [
    take_order,
    list_orders,
    show_order,
    Router("/api/toy", route_handlers=[me]),
    maybe,
    fail,
]


def open_client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture(scope="module")
def api(signing_key: ECKey) -> ObservedApp:
    """The toy's API, observed as in a process."""

    async def fetch() -> dict[str, Any]:
        return {"keys": [signing_key.as_dict(private=False)]}

    return ObservedApp(service_app("toy", ROUTES, Verifier(fetch)), "toy")


@pytest.fixture
async def http(api: ObservedApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    async with open_client(api) as client:
        yield client


def assert_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.headers["x-trace-id"]) == 32
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    return body


async def test_a_problem_goes_out_with_its_members(http: httpx.AsyncClient) -> None:
    body = assert_problem(await http.get("/api/toy/fail/taken"), 409)
    assert (body["type"], body["seats"]) == ("/problems/seat-taken", ["F7"])


async def test_who_asks_too_often_is_told_when_to_come_back(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/toy/fail/often")
    assert_problem(answer, 429)
    assert answer.headers["retry-after"] == "17"


@pytest.mark.parametrize("how", ["crash", "internal"])
async def test_a_crash_tells_the_client_nothing_but_its_trace(
    http: httpx.AsyncClient, how: str
) -> None:
    answer = await http.get(f"/api/toy/fail/{how}")
    body = assert_problem(answer, 500)
    assert body["trace_id"] == answer.headers["x-trace-id"]
    assert "popcorn" not in answer.text


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"size": "enormously big"}, "size"),
        ({"size": "big", "count": 10}, "count"),
        ({"size": "big", "count": "two"}, "count"),
        ({"size": 1}, "size"),
        ({}, "body"),
        ([], "body"),
    ],
)
async def test_a_field_that_is_wrong_is_named(
    http: httpx.AsyncClient, body: object, field: str
) -> None:
    answer = assert_problem(await http.post("/api/toy/orders", json=body), 422)
    assert answer["errors"][0]["key"] == field
    assert answer["detail"].startswith(f"{field}: ")


async def test_an_unknown_member_is_named(http: httpx.AsyncClient) -> None:
    sent = {"size": "big", "butter": True}
    answer = assert_problem(await http.post("/api/toy/orders", json=sent), 400)
    assert answer["members"] == ["butter"]


async def test_a_missing_body_is_said_to_be_missing(http: httpx.AsyncClient) -> None:
    answer = assert_problem(await http.post("/api/toy/orders"), 422)
    assert answer["detail"] == "body: is missing"


@pytest.mark.parametrize(
    "body",
    [b"{bad", b"\xff", b'{"size": "\xff"}', b'{"size": "\\ud800"}', b"[" * 60_000, b'{"size":NaN}'],
)
async def test_bytes_that_are_no_json_are_the_clients_fault(
    http: httpx.AsyncClient, body: bytes
) -> None:
    assert_problem(await http.post("/api/toy/orders", content=body, headers=JSON), 400)


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ";"],
)
async def test_a_kind_of_body_that_any_foreign_page_can_send_is_refused(
    http: httpx.AsyncClient, kind: str
) -> None:
    answer = await http.post(
        "/api/toy/orders", content=b'{"size":"big"}', headers={"content-type": kind}
    )
    assert_problem(answer, 415)


@pytest.mark.parametrize("headers", [{}, JSON, {"content-type": "Application/JSON; charset=utf-8"}])
async def test_json_is_taken_by_any_of_its_names(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    answer = await http.post("/api/toy/orders", content=b'{"size":"big"}', headers=headers)
    assert answer.json() == {"size": "big", "count": 1}


async def test_a_body_over_the_limit_is_refused_announced_or_not(http: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 5_000

    answer = await http.post("/api/toy/orders", content=b" " * 70_000, headers=JSON)
    assert_problem(answer, 413)
    assert_problem(await http.post("/api/toy/orders", content=chunks(), headers=JSON), 413)


async def test_the_limit_is_the_services_to_choose(verifier: Verifier) -> None:
    app = service_app("toy", ROUTES, verifier, body_bytes_max=100_000)
    async with open_client(app) as client:
        body = b'{"size":"big"}' + b" " * 70_000
        answer = await client.post("/api/toy/orders", content=body, headers=JSON)
        assert answer.status_code == 201


@pytest.mark.parametrize(
    "path",
    ["/api/toy", "/api/toy/", "/api/toy/none", "/api/toy/no/where", "/api/toy/orders/not-an-id",
     "/api/toy/orders/%00", "/api/toy/docs-assets/../../__init__.py",
     "/api/toy/docs-assets/%2e%2e/%2e%2e/__init__.py", "/api/toy/docs-assets/none.js"],
)  # fmt: skip
async def test_where_nothing_is_the_answer_is_a_problem_too(
    http: httpx.AsyncClient, path: str
) -> None:
    assert_problem(await http.get(path), 404)


async def test_a_wrong_method_is_told_the_right_ones(http: httpx.AsyncClient) -> None:
    for method in ("DELETE", "BREW"):
        answer = await http.request(method, "/api/toy/me")
        assert_problem(answer, 405)
        assert set(answer.headers["allow"].split(", ")) == {"GET", "OPTIONS"}


async def test_head_is_answered_like_get_and_options_says_what_may_be_done(
    http: httpx.AsyncClient,
) -> None:
    head = await http.head("/api/toy/maybe")
    assert (head.status_code, head.headers["content-type"]) == (200, "application/json")
    options = await http.options("/api/toy/me")
    assert set(options.headers["allow"].split(", ")) == {"GET", "OPTIONS"}
    assert options.headers["x-trace-id"]


async def test_who_signs_in_is_known(http: httpx.AsyncClient, sign: Sign) -> None:
    headers = {"authorization": f"bearer {sign(CUSTOMER)}"}
    assert (await http.get("/api/toy/me", headers=headers)).json() == {"customer_id": str(CUSTOMER)}
    assert (await http.get("/api/toy/maybe", headers=headers)).json() == {"known": True}
    assert (await http.get("/api/toy/maybe")).json() == {"known": False}


@pytest.mark.parametrize("header", [None, "", "Basic eDp5", "Bearer", "Bearer ", "Bearer a.b.c"])
async def test_who_shows_no_valid_token_is_asked_to_sign_in(
    http: httpx.AsyncClient, header: str | None
) -> None:
    headers = {} if header is None else {"authorization": header}
    answer = await http.get("/api/toy/me", headers=headers)
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_bad_token_is_refused_even_where_none_is_needed(http: httpx.AsyncClient) -> None:
    assert_problem(await http.get("/api/toy/maybe", headers={"authorization": "Bearer x"}), 401)


def cursor_of(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["!!!!", "abc", "é", "\x00", cursor_of({}), cursor_of(["a"]), cursor_of(["a", 1]),
     cursor_of(["a", "b", "c"]), cursor_of(["a", "\x00"]), cursor_of("ab"), cursor_of(None),
     cursor_of(["a" * 1_000, "b"]), "x" * 10_000, "_" * 10_000],
)  # fmt: skip
async def test_a_cursor_that_was_tampered_with_is_refused(
    http: httpx.AsyncClient, cursor: str
) -> None:
    answer = await http.get("/api/toy/orders", params={"after": cursor})
    assert assert_problem(answer, 422)["field"] == "after"


async def test_a_list_has_items_and_the_next_cursor(http: httpx.AsyncClient) -> None:
    answer = await http.get("/api/toy/orders", params={"after": encode_cursor("a", "1")})
    assert answer.json() == {"items": [["a", "1"]], "next": encode_cursor("b", "5")}


async def test_a_nul_on_its_way_to_the_database_is_the_clients_fault(
    make_database: MakeDatabase, verifier: Verifier
) -> None:
    db = await make_database("tests.integration.chassis.toy")

    async def echo(tx: Transaction, words: str) -> str:
        row = await tx.execute(text("SELECT CAST(:words AS text)"), {"words": words})
        return str(row.scalar_one())

    @get("/api/toy/echo")
    async def say(words: FromQuery[str]) -> str:
        return await db.read(echo, words)

    async with open_client(ObservedApp(service_app("toy", [say], verifier), "toy")) as client:
        assert (await client.get("/api/toy/echo?words=hi")).text == "hi"
        body = assert_problem(await client.get("/api/toy/echo?words=h%00i"), 422)
        assert "NUL" in body["detail"]


async def test_the_callers_trace_is_continued(http: httpx.AsyncClient) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = await http.get(
        "/api/toy/maybe", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    )
    assert answer.headers["x-trace-id"] == trace


async def test_each_request_without_a_trace_gets_its_own(http: httpx.AsyncClient) -> None:
    traces = {(await http.get("/api/toy/maybe")).headers["x-trace-id"] for _ in range(3)}
    assert len(traces) == 3


def series() -> set[tuple[str, str, str]]:
    return {
        (s.labels["method"], s.labels["route"], s.labels["status"])
        for metric in REGISTRY.collect()
        if metric.name == "cinesync_http_seconds"
        for s in metric.samples
        if s.labels["service"] == "explosive" and s.name.endswith("_count")
    }


async def test_no_client_can_make_up_metric_labels(verifier: Verifier) -> None:
    async with open_client(
        ObservedApp(service_app("toy", ROUTES, verifier), "explosive")
    ) as client:
        for n in range(20):
            await client.get(f"/api/toy/nothing/{n}")
            await client.get(f"/api/toy/orders/{UUID(int=n)}")
            await client.request(f"BREW{n}", "/api/toy/me")
    assert series() == {
        ("GET", "unmatched", "404"),
        ("GET", "/api/toy/orders/{order_id}", "200"),
        ("other", "unmatched", "405"),
    }


async def test_a_client_that_leaves_is_no_error_of_ours(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent: list[Any] = []

    async def gone(*_: object) -> None:
        raise ConnectionError

    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(ConnectionError):
        await ObservedApp(gone, "gone")(scope, gone, gone)  # type: ignore[arg-type]
    labels = {"service": "gone", "method": "GET", "route": "unmatched", "status": "499"}
    assert REGISTRY.get_sample_value("cinesync_http_seconds_count", labels) == 1
    assert sent == []


async def test_what_is_not_http_is_passed_on() -> None:
    seen: list[str] = []

    async def app(scope: Any, *_: object) -> None:
        seen.append(scope["type"])

    await ObservedApp(app, "toy")({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == ["lifespan"]


async def test_openapi_says_who_must_sign_in_and_how_problems_look(
    http: httpx.AsyncClient,
) -> None:
    document = (await http.get("/api/toy/openapi.json")).json()
    assert document["openapi"].startswith("3.1.")
    assert set(document["paths"]) == {
        "/api/toy/orders", "/api/toy/orders/{order_id}", "/api/toy/me", "/api/toy/maybe",
        "/api/toy/fail/{how}",
    }  # fmt: skip
    operations = {path: item["get"] for path, item in document["paths"].items()}
    assert operations["/api/toy/me"]["security"] == [{"bearer": []}]
    assert operations["/api/toy/maybe"]["security"] == [{}, {"bearer": []}]
    assert "security" not in operations["/api/toy/orders"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    for operation in operations.values():
        assert set(operation["responses"]) == {"200", "default"}
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/problem"}
    problem = document["components"]["responses"]["problem"]
    assert "application/problem+json" in problem["content"]


async def test_the_docs_name_no_foreign_host_and_all_their_assets_are_there(
    http: httpx.AsyncClient,
) -> None:
    page = (await http.get("/api/toy/docs")).text
    assert "//" not in page.replace("http://test", "")
    addresses = {part.split('"')[0] for part in page.replace("href=", "src=").split('src="')[1:]}
    assert len(addresses) == 4
    for address in addresses:
        assert (await http.get(address)).status_code == 200, address


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """Requests are logged; here nobody reads that."""
    caplog.set_level(logging.CRITICAL)


async def test_a_requests_line_says_who_asked_and_for_what(
    http: httpx.AsyncClient, sign: Sign
) -> None:
    order_id, customer_id = clock.new_id(), clock.new_id()
    noted: list[dict[str, Any]] = []

    def keep(**facts: Any) -> None:
        noted.append(facts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(telemetry, "note", keep)
        await http.get(f"/api/toy/orders/{order_id}")
        headers = {"authorization": f"Bearer {sign(customer_id)}"}
        await http.get("/api/toy/me", headers=headers)
    assert {"order_id": order_id} in noted
    assert {"actor": customer_id, "role": "customer"} in noted
