"""Pages that are the same for everybody: rendered once, and given to all who come within moments.

A view says with `@public` for how long its page may be given on; it is only when the visitor had
no session. `Front` stands before the storefront and gives it on, to those who have none either.
Between the two it is told by `Surrogate-Control` (W3C Edge Architecture), which browsers never see.
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from typing import Any, ParamSpec

from cachetools import TLRUCache
from flask import Response, make_response, request, session
from flask.typing import ResponseReturnValue
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from cinesync.chassis import clock
from cinesync.chassis.http.content_encoding import VARY, SharedBody
from cinesync.chassis.http.etags import etag_of, matches, weak_etag
from cinesync.web.formats import best_locale
from cinesync.web.session import COOKIE_NAME

P = ParamSpec("P")

PLACES = frozenset({"", "movies", "shows", "theaters"})  # first segments of addresses
KEPT_BYTES_MAX = 64 * 1024 * 1024
SURROGATE = "surrogate-control"
MAX_AGE = re.compile(rb"max-age=(\d{1,6})")
LENGTH = b"content-length"
OF_CONTENT = frozenset({b"content-type", LENGTH})  # what a 304 has none of

Headers = Sequence[tuple[bytes, bytes]]
Key = tuple[str, bytes, str, bytes]


def public(
    seconds: int, *, browsers: str = "no-store"
) -> Callable[[Callable[P, ResponseReturnValue]], Callable[P, Response]]:
    """The page is the same for all who have no session, and good enough for so many seconds.

    `browsers` is what they may do: "no-cache" keeps it and asks by its ETag each time.
    """

    def decorate(view: Callable[P, ResponseReturnValue]) -> Callable[P, Response]:
        @wraps(view)
        def shown(*args: P.args, **kwargs: P.kwargs) -> Response:
            page = make_response(view(*args, **kwargs))
            if page.status_code == HTTPStatus.OK and _is_nobody():
                page.headers[SURROGATE] = f"max-age={seconds}"
                page.headers["Cache-Control"] = f"private, {browsers}"
                page.vary.update(("Accept-Language", "Cookie"))
            return page

        return shown

    return decorate


def _is_nobody() -> bool:
    """Nothing that belongs to anyone was there to be shown, and nothing was begun."""
    return not session and COOKIE_NAME not in request.cookies


@dataclass(frozen=True, slots=True)
class Page:
    """An answer as it goes out."""

    status: int
    headers: Headers
    body: SharedBody
    tag: str = ""
    fresh_until_seconds: float = 0

    @property
    def is_public(self) -> bool:
        """Anything else goes to the one who asked, and to nobody else."""
        return bool(self.tag)

    async def give(self, scope: Scope, send: Send) -> None:
        """To a visitor who may have it already, and may read it compressed."""
        if not self.is_public:
            await _send(send, self.status, self.headers, self.body.plain)
            return
        if matches(self.tag, _header(scope, b"if-none-match").decode("latin-1")):
            headers = [(name, value) for name, value in self.headers if name not in OF_CONTENT]
            await _send(send, HTTPStatus.NOT_MODIFIED, [*headers, VARY], b"")
            return
        body, coding = self.body.encoded(_header(scope, b"accept-encoding").decode("latin-1"))
        headers = [(name, value) for name, value in self.headers if name != LENGTH]
        headers += [(LENGTH, b"%d" % len(body)), *coding]
        await _send(send, self.status, headers, body)


class Front:
    """Around the storefront, as ASGI. A page is made for the first of those who ask at once."""

    def __init__(self, app: ASGIApp, now: Callable[[], float] = clock.monotonic_seconds) -> None:
        self._app = app
        self._now = now
        self._kept: TLRUCache[Key, Page, float] = TLRUCache(
            KEPT_BYTES_MAX,
            ttu=lambda _key, page, _now: page.fresh_until_seconds,
            timer=now,
            getsizeof=lambda page: len(page.body.plain),
        )
        self._making: dict[Key, asyncio.Task[Page]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        key = _key(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        page = self._kept.get(key)
        if page is None:
            is_first = key not in self._making
            page = await self._made(key, scope)
            if not page.is_public and not is_first:
                await self._app(scope, receive, send)
                return
        await page.give(scope, send)

    async def _made(self, key: Key, scope: Scope) -> Page:
        """Whoever leaves, it is made for those who wait."""
        making = self._making.get(key)
        if making is None:
            making = self._making[key] = asyncio.create_task(self._make(key, scope))
            making.add_done_callback(lambda _: self._making.pop(key))
        return await asyncio.shield(making)

    async def _make(self, key: Key, scope: Scope) -> Page:
        asked_seconds = self._now()
        status, headers, body = await _answer_of(self._app, scope)
        seconds = _public_seconds(status, headers)
        if not seconds:
            return Page(status, headers, SharedBody(body))
        tag = etag_of(body)
        told = [(name, value) for name, value in headers if name != SURROGATE.encode()]
        told.append((b"etag", weak_etag(tag)))
        page = Page(status, told, SharedBody(body), tag, asked_seconds + seconds)
        self._kept[key] = page
        return page


def _key(scope: Scope) -> Key | None:
    """What a page depends on, or None for a request that may be somebody's own."""
    if scope["type"] != ScopeType.HTTP or scope["method"] != "GET":
        return None
    _, place, *_ = [*scope["path"].split("/", 2), ""]
    if place not in PLACES or _is_somebody(scope):
        return None
    locale = best_locale(_header(scope, b"accept-language").decode("latin-1"))
    # Over https it has a header more.
    return (scope["path"], scope["query_string"], locale, _header(scope, b"x-forwarded-proto"))


def _is_somebody(scope: Scope) -> bool:
    cookies, session_cookie = _header(scope, b"cookie"), f"{COOKIE_NAME}=".encode()
    return session_cookie in cookies or bool(_header(scope, b"authorization"))


def _public_seconds(status: int, headers: Headers) -> int:
    """For how long it may be given on; an answer that leaves a cookie is for one visitor."""
    names = dict(headers)
    said = MAX_AGE.search(names.get(SURROGATE.encode(), b""))
    is_shared = said and status == HTTPStatus.OK and b"set-cookie" not in names
    return int(said[1]) if said and is_shared else 0


def _header(scope: Scope, wanted: bytes) -> bytes:
    """All values of that name."""
    return b", ".join(value for name, value in scope["headers"] if name == wanted)


async def _answer_of(app: ASGIApp, scope: Scope) -> tuple[int, Headers, bytes]:
    status, headers = 0, []
    body = bytearray()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def gather(message: Any) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [(name.lower(), value) for name, value in message["headers"]]
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, gather)
    return status, headers, bytes(body)


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
