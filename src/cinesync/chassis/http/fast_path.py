"""The few most frequent requests of a service, answered before Litestar (ADR 13).

A fast path answers a request that it understands completely. It declines every other request, and
the ordinary route of the same path answers: error messages stand in one place, and a service
without fast paths gives the same responses, more slowly.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from cinesync.chassis.http.asgi import (
    BODY_BYTES_MAX,
    JSON_TYPE,
    PROBLEM_TYPE,
    header,
    with_body,
)
from cinesync.chassis.http.problem_responses import problem_headers, problem_of
from cinesync.chassis.http.security.access_tokens import Caller, Verifier
from cinesync.chassis.http.security.authentication import caller_of
from cinesync.chassis.problems import Problem, Unauthorized

T = TypeVar("T")

UUID_PARAMETER = re.compile(r"\{\w+:uuid\}")
CANONICAL_UUID = "([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"  # RFC 9562 section 4
LENGTH_DIGITS_MAX = 9


class FastRequest(NamedTuple):
    """A request. `keys` are the UUIDs in its path."""

    scope: Scope
    keys: Sequence[UUID]
    body: bytes
    verifier: Verifier

    def header(self, name: bytes) -> str | None:
        """The first of that name, which is in lower case."""
        return header(self.scope, name)

    def json(self, decoder: msgspec.json.Decoder[T]) -> T | None:
        """The decoded body, or None when it is not valid."""
        try:
            return decoder.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None

    async def caller(self) -> Caller:
        """The caller. Raises Unauthorized."""
        caller = await caller_of(self.header(b"authorization"), self.verifier)
        if caller is None:
            raise Unauthorized
        return caller


class FastResponse(NamedTuple):
    """A response. A body in parts is streamed until the client leaves."""

    status: int
    body: bytes | AsyncIterator[bytes]
    headers: Sequence[tuple[bytes, bytes]]


Handler = Callable[[FastRequest], Awaitable[FastResponse | None]]


def json_response(status: int, body: object, *headers: tuple[bytes, bytes]) -> FastResponse:
    """`body` as JSON."""
    return bytes_response(status, msgspec.json.encode(body), *headers)


def bytes_response(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> FastResponse:
    """A body that is JSON already."""
    return _whole(status, body, JSON_TYPE, headers)


def _whole(
    status: int, body: bytes, media_type: str, headers: Sequence[tuple[bytes, bytes]]
) -> FastResponse:
    own = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body))]
    return FastResponse(status, body, [*headers, *own])


class FastPath:
    """`handler` is tried for `path`, the template of an ordinary route; UUIDs may be in it."""

    def __init__(self, method: str, path: str, handler: Handler) -> None:
        self.method = method
        self.path = path
        self.handler = handler
        self._pattern = re.compile(UUID_PARAMETER.sub(CANONICAL_UUID, path))

    def match(self, scope: Any) -> list[UUID] | None:
        """The UUIDs in the path; None for another method or path."""
        if scope["method"] != self.method:
            return None
        found = self._pattern.fullmatch(scope["path"])
        return [UUID(key) for key in found.groups()] if found else None


class FastPaths:
    """An ASGI app: the fast paths, and behind them the service's own app."""

    def __init__(self, fast_paths: Sequence[FastPath], verifier: Verifier, app: ASGIApp) -> None:
        self._fast_paths = fast_paths
        self._verifier = verifier
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """One request."""
        for fast_path in self._fast_paths if scope["type"] == ScopeType.HTTP else ():
            keys = fast_path.match(scope)
            if keys is not None:
                return self._try(fast_path, keys, scope, receive, send)
        return self._app(scope, receive, send)

    async def _try(
        self, fast_path: FastPath, keys: Sequence[UUID], scope: Any, receive: Receive, send: Send
    ) -> None:
        body = b""
        if fast_path.method == "POST":
            if not _is_small_json(scope):
                await self._app(scope, receive, send)
                return
            body = await _read(receive)
        request = FastRequest(scope, keys, body, self._verifier)
        try:
            answer = await fast_path.handler(request)
        except Exception as error:  # noqa: BLE001 a problem response, as from the ordinary route
            answer = _problem_answer(problem_of(error, scope["path"]))
        if answer is None:
            await self._app(scope, with_body(body, receive), send)
            return
        scope["path_template"] = fast_path.path
        await send(
            {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
        )
        if isinstance(answer.body, bytes):
            await send({"type": "http.response.body", "body": answer.body, "more_body": False})
        else:
            await _stream(answer.body, receive, send)


def _is_small_json(scope: Scope) -> bool:
    length = header(scope, b"content-length") or ""
    return (
        header(scope, b"content-type") == JSON_TYPE
        and length.isdecimal()
        and len(length) <= LENGTH_DIGITS_MAX
        and int(length) <= BODY_BYTES_MAX
    )


async def _read(receive: Receive) -> bytes:
    """The body, which the guard around every app sends in one message."""
    message: Any = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _stream(parts: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Send parts until they end or the client leaves, which only `receive` reports."""

    async def pump() -> None:
        async with aclosing(parts):  # type: ignore[type-var]  # ours are generators
            async for part in parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def until_gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.create_task(pump()), asyncio.create_task(until_gone())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _problem_answer(problem: Problem) -> FastResponse:
    headers = [(name.encode(), value.encode()) for name, value in problem_headers(problem).items()]
    return _whole(problem.status, msgspec.json.encode(problem.as_dict()), PROBLEM_TYPE, headers)
