"""Calls between services: what goes out, what comes back, and what counts as no answer."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from cinesync.chassis import telemetry
from cinesync.chassis.http.client import HttpClient, HttpResponse, NoResponse

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def echo(request: web.Request) -> web.Response:
    """The request, as JSON."""
    received = {
        "query": dict(request.query),
        "key": request.headers.get("key"),
        "trace": request.headers.get("traceparent"),
        "body": await request.json() if request.can_read_body else None,
    }
    return web.json_response(received, status=201)


async def slow(_request: web.Request) -> web.Response:
    """Too late."""
    await asyncio.sleep(1)
    return web.Response()


async def words(_request: web.Request) -> web.Response:
    """No JSON."""
    return web.Response(text="<html>", status=502)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """A server of ours."""
    app = web.Application()
    app.add_routes([web.route("*", "/echo", echo), web.get("/slow", slow), web.get("/w", words)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


@pytest.fixture
async def peer(url: str) -> AsyncIterator[HttpClient]:
    one = HttpClient(url, 0.5, {"key": "secret"})
    yield one
    await one.close()


async def test_a_call_carries_body_query_headers_and_trace(peer: HttpClient) -> None:
    with telemetry.Tracing(TRACE):
        answer = await peer.call("POST", "/echo", body={"a": 1}, params={"b": "2"})
    assert answer.status == 201
    assert answer.json() == {"query": {"b": "2"}, "key": "secret", "trace": TRACE, "body": {"a": 1}}
    assert (await peer.call("GET", "/echo", headers={"key": "own"})).json()["key"] == "own"


async def test_no_answer_in_time_is_none(peer: HttpClient) -> None:
    with pytest.raises(NoResponse, match="Timeout"):
        await peer.call("GET", "/slow")


async def test_nobody_there_is_no_answer() -> None:
    nobody = HttpClient("http://127.0.0.1:9", 0.5)
    with pytest.raises(NoResponse, match="Cannot connect"):
        await nobody.call("GET", "/")
    await nobody.close()


async def test_what_is_no_json_is_no_answer(peer: HttpClient) -> None:
    answer = await peer.call("GET", "/w")
    with pytest.raises(NoResponse, match="502"):
        answer.json()
    assert HttpResponse(204, b"").json() is None


async def test_a_peer_that_was_never_called_closes() -> None:
    await HttpClient("http://127.0.0.1:9", 0.5).close()
