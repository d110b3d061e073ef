"""A fast path answers or declines; whatever it does, nothing of the request is lost."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest
from litestar import Request, get, post
from litestar.params import FromPath
from litestar.types import Receive, Scope, Send

from cinesync.chassis.http.app import service_app
from cinesync.chassis.http.fast_path import (
    FastPath,
    FastPaths,
    FastRequest,
    FastResponse,
    json_response,
)
from cinesync.chassis.http.observation import ObservedApp
from cinesync.chassis.http.security.access_tokens import Verifier
from cinesync.chassis.http.strict_bodies import READS_BODY
from cinesync.chassis.problems import TooMany

KEY = UUID("01961d40-0000-7000-8000-00000000000a")
NUMBERS = msgspec.json.Decoder(list[int])


@post("/api/toy/sums", status_code=200, opt=READS_BODY)
async def add_slowly(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """The ordinary route, which takes anything."""
    return {"slowly": await request.json()}


@get("/api/toy/things/{thing_id:uuid}")
async def show_slowly(thing_id: FromPath[UUID]) -> dict[str, Any]:
    """The ordinary route."""
    return {"slowly": str(thing_id)}


async def add(request: FastRequest) -> FastResponse | None:
    numbers = request.json(NUMBERS)
    if numbers is None:
        return None
    if not numbers:
        raise TooMany(retry_after_seconds=3)
    return json_response(201, {"sum": sum(numbers), "of": sum(numbers) // len(numbers)})


async def show(request: FastRequest) -> FastResponse | None:
    if request.keys != [KEY]:
        raise RuntimeError("the password is popcorn")
    return json_response(200, {"key": str(KEY)})


FAST_PATHS = [
    FastPath("POST", "/api/toy/sums", add),
    FastPath("GET", "/api/toy/things/{thing_id:uuid}", show),
]


@pytest.fixture
async def http(verifier: Verifier) -> AsyncIterator[httpx.AsyncClient]:
    app = FastPaths(FAST_PATHS, verifier, service_app("toy", [add_slowly, show_slowly], verifier))
    transport = httpx.ASGITransport(ObservedApp(app, "toy"))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_it_answers_what_it_understands(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/toy/sums", json=[1, 5])
    assert answer.status_code == 201
    assert answer.json() == {"sum": 6, "of": 3}
    assert answer.headers["content-type"] == "application/json"
    assert len(answer.headers["x-trace-id"]) == 32
    assert (await http.get(f"/api/toy/things/{KEY}")).json() == {"key": str(KEY)}


async def test_what_it_declines_the_ordinary_route_gets_whole(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/toy/sums", json={"not": "numbers"})
    assert answer.json() == {"slowly": {"not": "numbers"}}


async def chunks() -> AsyncIterator[bytes]:
    for part in (b"[1,", b"2]"):
        yield part


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "APPLICATION/JSON"])
async def test_other_ways_to_say_it_go_the_ordinary_way(http: httpx.AsyncClient, kind: str) -> None:
    answer = await http.post("/api/toy/sums", content=b"[1]", headers={"content-type": kind})
    assert answer.json() == {"slowly": [1]}


async def test_a_body_of_unknown_length_goes_the_ordinary_way(http: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    answer = await http.post("/api/toy/sums", content=chunks(), headers=headers)
    assert answer.json() == {"slowly": [1, 2]}


async def test_a_body_too_large_is_refused_unread(http: httpx.AsyncClient) -> None:
    headers = {"content-type": "application/json"}
    answer = await http.post("/api/toy/sums", content=b"[" + b" " * 70_000, headers=headers)
    assert answer.status_code == 413


async def test_another_spelling_of_a_key_goes_the_ordinary_way(http: httpx.AsyncClient) -> None:
    assert (await http.get(f"/api/toy/things/{KEY.hex}")).json() == {"slowly": str(KEY)}
    assert (await http.get("/api/toy/things/none")).status_code == 404
    assert (await http.post(f"/api/toy/things/{KEY}")).status_code == 405


async def test_problems_are_told_as_ever(http: httpx.AsyncClient) -> None:
    answer = await http.post("/api/toy/sums", json=[])
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["retry-after"] == "3"
    assert answer.json()["type"] == "/problems/too-many"


async def test_a_crash_says_nothing_but_its_trace(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/api/toy/things/{UUID(int=7)}")
    assert answer.status_code == 500
    assert "popcorn" not in answer.text
    assert answer.json()["trace_id"] == answer.headers["x-trace-id"]


class Client:
    """An ASGI client that stays until `leave`."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.received = asyncio.Event()
        self.leave = asyncio.Event()

    async def receive(self) -> Any:
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.got.append(message.get("body", b""))
        self.received.set()


class Source:
    """Parts that never end, and whether anybody still wants them."""

    closed = False

    async def parts(self) -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            self.closed = True


async def nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise AssertionError("no ordinary route was request for")


async def test_a_stream_ends_when_the_client_leaves(verifier: Verifier) -> None:
    source, client = Source(), Client()

    async def stream(_asked: FastRequest) -> FastResponse:
        return FastResponse(200, source.parts(), [])

    app: Any = FastPaths([FastPath("GET", "/parts", stream)], verifier, nothing)
    scope = {"type": "http", "method": "GET", "path": "/parts", "headers": []}
    serving = asyncio.create_task(app(scope, client.receive, client.send))
    while b"first" not in client.got:
        await client.received.wait()
        client.received.clear()
    client.leave.set()
    await serving
    assert source.closed
