"""The guard's rules, without a network; with one, tests/security/test_http_edge.py."""

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

import pytest
from litestar.types import ASGIApp

from cinesync.chassis.http.security.client_address import ClientAddresses, address_in
from cinesync.chassis.http.security.response_headers import with_security_headers
from cinesync.chassis.http.server import body_reader, refusals
from cinesync.chassis.http.server.body_reader import BodyReader
from cinesync.chassis.http.server.guard import Guard, RequestLimits
from cinesync.chassis.http.server.host_names import HostNames
from cinesync.chassis.http.server.http_server import listen
from cinesync.chassis.http.server.refusals import BodyBroken, BodyTooSlow, RequestRefused
from cinesync.chassis.problems import Problem

Pair = tuple[bytes, bytes]
HOST = (b"host", b"localhost")


class Seen:
    """An app that stores its requests, and waits while it is blocked."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []
        self.bodies: list[bytes] = []
        self.began = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        self.bodies.append((await receive()).get("body", b""))
        self.began.set()
        await self.go_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})


class Client:
    """Sends requests to a guard around `app`."""

    def __init__(self, app: ASGIApp, proxies: str = "", **limits: Any) -> None:
        chosen = RequestLimits(**{"in_progress_max": 100, **limits})
        self.guard = Guard(app, chosen, HostNames(["localhost"]), ClientAddresses(proxies))

    async def ask(
        self,
        *headers: Pair,
        parts: Sequence[bytes] = (b"",),
        client: str = "192.0.2.1",
        **more: Any,
    ) -> int:
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "query_string": b"",
            "client": (client, 50_000),
            "headers": [HOST, *headers],
            **more,
        }
        left = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        left[-1]["more_body"] = False
        statuses: list[int] = []

        async def receive() -> Any:
            return left.pop(0) if left else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        await self.guard(scope, receive, send)
        assert len(statuses) == 1
        return statuses[0]


@pytest.fixture
def app() -> Seen:
    return Seen()


async def test_headers_with_underscores_are_dropped_and_no_others(app: Seen) -> None:
    assert await Client(app).ask((b"x_y", b"1"), (b"x-y", b"2"), (b"_", b"3")) == 200
    assert app.scopes[0]["headers"] == [HOST, (b"x-y", b"2")]


@pytest.mark.parametrize("said", [b"evil.example", b"localhost, evil.example", b"", b"\xff"])
async def test_a_forwarded_host_that_is_not_ours_is_dropped(app: Seen, said: bytes) -> None:
    ours = (b"x-forwarded-host", b"localhost:8443")
    assert await Client(app).ask(ours, (b"x-forwarded-host", said), (b"x-y", b"1")) == 200
    assert app.scopes[0]["headers"] == [HOST, ours, (b"x-y", b"1")]


async def test_a_query_is_ascii_for_the_app(app: Seen) -> None:
    assert await Client(app).ask(query_string="q=é".encode()) == 200
    assert app.scopes[0]["query_string"] == b"q=%C3%A9"


async def test_a_body_comes_whole_and_with_its_length(app: Seen) -> None:
    chunked = (b"transfer-encoding", b"chunked")
    assert await Client(app).ask(chunked, parts=[b"ab", b"", b"c"]) == 200
    assert app.bodies == [b"abc"]
    assert app.scopes[0]["headers"] == [HOST, (b"content-length", b"3")]
    assert await Client(app).ask((b"content-length", b"0")) == 200


async def test_a_body_may_be_as_large_as_the_limit(app: Seen) -> None:
    client = Client(app, body_bytes_max=4)
    chunked = (b"transfer-encoding", b"chunked")
    for size, status in ((4, 200), (5, 413)):
        assert await client.ask(chunked, parts=[b"ab", b"c" * (size - 2)]) == status
        assert await client.ask((b"content-length", b"%d" % size), parts=[b"c" * size]) == status


async def test_addresses_count_apart_past_proxies_of_ours(app: Seen) -> None:
    client = Client(app, proxies="192.0.2.1", per_address_max=1)
    app.go_on.clear()
    first = asyncio.create_task(client.ask((b"x-forwarded-for", b"203.0.113.7")))
    await app.began.wait()
    assert address_in(app.scopes[0]) == "203.0.113.7"
    assert await client.ask((b"x-forwarded-for", b"203.0.113.7")) == 429
    assert await client.ask((b"x-forwarded-for", b"6.6.6.6, 203.0.113.7")) == 429, "claims are not"
    app.go_on.set()
    assert await client.ask((b"x-forwarded-for", b"203.0.113.8")) == 200
    assert await first == 200
    assert await client.ask((b"x-forwarded-for", b"203.0.113.7")) == 200
    assert client.guard._in_progress == {}
    assert client.guard._total == 0


async def test_all_together_have_a_limit(app: Seen) -> None:
    client = Client(app, in_progress_max=1)
    app.go_on.clear()
    first = asyncio.create_task(client.ask(client="192.0.2.1"))
    await app.began.wait()
    assert await client.ask(client="192.0.2.2") == 503
    app.go_on.set()
    assert await first == 200


async def test_an_app_that_fails_gives_its_place_back() -> None:
    async def fail(*_: object) -> None:
        raise ValueError("a bug")

    client = Client(fail)
    with pytest.raises(ValueError, match="a bug"):
        await client.ask()
    assert client.guard._total == 0


# Bodies that do not come


async def never() -> Any:
    await asyncio.Event().wait()


async def test_the_slow_are_ended_in_the_order_they_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reader, "TICK_SECONDS", 0.001)
    reader = BodyReader(10, 0.01)
    ended = await asyncio.gather(*(reader.read(never) for _ in range(5)), return_exceptions=True)
    problems = [one.problem for one in ended if isinstance(one, RequestRefused)]
    assert [type(one) for one in problems] == [BodyTooSlow] * 5
    assert reader._began == {}
    assert reader._overdue == set()


async def test_who_is_cancelled_by_another_is_not_called_slow() -> None:
    reader = BodyReader(10, 60)
    reading = asyncio.create_task(reader.read(never))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert reader._began == {}


async def test_a_body_that_ends_early_is_broken() -> None:
    async def gone() -> Any:
        return {"type": "http.disconnect"}

    with pytest.raises(RequestRefused) as refused:
        await BodyReader(10, 60).read(gone)
    assert isinstance(refused.value.problem, BodyBroken)


async def test_a_body_of_the_stated_length_is_whole() -> None:
    parts = iter([b"12", b"345"])

    async def part() -> Any:
        body = next(parts, None)
        return await never() if body is None else message(body)

    def message(body: bytes) -> Any:
        return {"type": "http.request", "body": body, "more_body": True}

    async with asyncio.timeout(5):
        assert await BodyReader(10, 60).read(part, 5) == b"12345"


# Answers


def test_an_answer_keeps_what_it_says_of_itself() -> None:
    own = [(b"content-security-policy", b"default-src 'none'"), (b"cache-control", b"max-age=9")]
    headers = dict(with_security_headers(own))
    assert headers[b"content-security-policy"] == b"default-src 'none'"
    assert headers[b"cache-control"] == b"max-age=9"
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert dict(with_security_headers([]))[b"cache-control"] == b"no-store"
    assert b"cache-control" not in dict(with_security_headers([(b"etag", b'"1"')]))


def test_every_refusal_is_a_sentence_without_markup() -> None:
    for problem in vars(refusals).values():
        if isinstance(problem, type) and issubclass(problem, Problem):
            assert problem.title().endswith("."), problem
            assert "<" not in problem.title()


def test_the_kernel_ends_what_nobody_reads() -> None:
    with listen("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


def test_a_port_is_not_shared() -> None:
    with listen("127.0.0.1", 0) as listening, pytest.raises(OSError, match="in use"):
        listen(*listening.getsockname())
