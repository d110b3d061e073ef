"""A cache of rendered pages that are the same for all visitors without a session.

A view decorated with `@public(seconds)` says how long its page may be reused. Its response is
public only if the request had no session cookie and the view started no session. `PageCache` stands
in front of the Flask application as ASGI middleware; it renders a page once for all requests that
wait for it, and answers conditional requests. The view tells it by `Surrogate-Control` (W3C Edge
Architecture), which browsers never see.
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

CACHED_PATHS = frozenset({"", "movies", "shows", "theaters"})  # the first path segment
CACHE_BYTES_MAX = 64 * 1024 * 1024
SURROGATE = "surrogate-control"
MAX_AGE = re.compile(rb"max-age=(\d{1,6})")
LENGTH = b"content-length"
CONTENT_HEADERS = frozenset({b"content-type", LENGTH})  # a 304 has none of them

Headers = Sequence[tuple[bytes, bytes]]
PageKey = tuple[str, bytes, str, bytes]


def public(
    seconds: int, *, browsers: str = "no-store"
) -> Callable[[Callable[P, ResponseReturnValue]], Callable[P, Response]]:
    """The view's page is the same for all visitors without a session, for so many seconds.

    `browsers` is their Cache-Control: "no-cache" lets them store it and revalidate by its ETag.
    """

    def decorate(view: Callable[P, ResponseReturnValue]) -> Callable[P, Response]:
        @wraps(view)
        def shown(*args: P.args, **kwargs: P.kwargs) -> Response:
            page = make_response(view(*args, **kwargs))
            if page.status_code == HTTPStatus.OK and _has_no_session():
                page.headers[SURROGATE] = f"max-age={seconds}"
                page.headers["Cache-Control"] = f"private, {browsers}"
                page.vary.update(("Accept-Language", "Cookie"))
            return page

        return shown

    return decorate


def _has_no_session() -> bool:
    """The request had no session cookie, and the view did not start a session."""
    return not session and COOKIE_NAME not in request.cookies


@dataclass(frozen=True, slots=True)
class CachedPage:
    """A response: public with an ETag, or private without one."""

    status: int
    headers: Headers
    body: SharedBody
    etag: str = ""
    fresh_until_seconds: float = 0

    @property
    def is_public(self) -> bool:
        """A private response goes only to the visitor whose request made it."""
        return bool(self.etag)

    async def respond(self, scope: Scope, send: Send) -> None:
        """Send it compressed if the client accepts that, or a 304 if the client has it."""
        if not self.is_public:
            await _send(send, self.status, self.headers, self.body.plain)
            return
        if matches(self.etag, _header(scope, b"if-none-match").decode("latin-1")):
            headers = [(name, value) for name, value in self.headers if name not in CONTENT_HEADERS]
            await _send(send, HTTPStatus.NOT_MODIFIED, [*headers, VARY], b"")
            return
        body, encoding = self.body.encoded(_header(scope, b"accept-encoding").decode("latin-1"))
        headers = [(name, value) for name, value in self.headers if name != LENGTH]
        headers += [(LENGTH, b"%d" % len(body)), *encoding]
        await _send(send, self.status, headers, body)


class PageCache:
    """ASGI middleware in front of the pages."""

    def __init__(self, app: ASGIApp, now: Callable[[], float] = clock.monotonic_seconds) -> None:
        self._app = app
        self._now = now
        self._pages: TLRUCache[PageKey, CachedPage, float] = TLRUCache(
            CACHE_BYTES_MAX,
            ttu=lambda _key, page, _now: page.fresh_until_seconds,
            timer=now,
            getsizeof=lambda page: len(page.body.plain),
        )
        self._rendering: dict[PageKey, asyncio.Task[CachedPage]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        key = _key(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        page = self._pages.get(key)
        if page is None:
            is_first = key not in self._rendering
            page = await self._rendered(key, scope)
            if not page.is_public and not is_first:
                await self._app(scope, receive, send)
                return
        await page.respond(scope, send)

    async def _rendered(self, key: PageKey, scope: Scope) -> CachedPage:
        """Rendering goes on when the first client disconnects: others may wait for it."""
        rendering = self._rendering.get(key)
        if rendering is None:
            rendering = self._rendering[key] = asyncio.create_task(self._render(key, scope))
            rendering.add_done_callback(lambda _: self._rendering.pop(key))
        return await asyncio.shield(rendering)

    async def _render(self, key: PageKey, scope: Scope) -> CachedPage:
        started_seconds = self._now()
        status, headers, body = await _response_of(self._app, scope)
        seconds = _public_seconds(status, headers)
        if not seconds:
            return CachedPage(status, headers, SharedBody(body))
        etag = etag_of(body)
        sent = [(name, value) for name, value in headers if name != SURROGATE.encode()]
        sent.append((b"etag", weak_etag(etag)))
        page = CachedPage(status, sent, SharedBody(body), etag, started_seconds + seconds)
        self._pages[key] = page
        return page


def _key(scope: Scope) -> PageKey | None:
    """All that a public page depends on, or None for a request that is not cached."""
    if scope["type"] != ScopeType.HTTP or scope["method"] != "GET":
        return None
    _, segment, *_ = [*scope["path"].split("/", 2), ""]
    if segment not in CACHED_PATHS or _has_credentials(scope):
        return None
    locale = best_locale(_header(scope, b"accept-language").decode("latin-1"))
    # Over https a page has one more header.
    return (scope["path"], scope["query_string"], locale, _header(scope, b"x-forwarded-proto"))


def _has_credentials(scope: Scope) -> bool:
    cookies, session_cookie = _header(scope, b"cookie"), f"{COOKIE_NAME}=".encode()
    return session_cookie in cookies or bool(_header(scope, b"authorization"))


def _public_seconds(status: int, headers: Headers) -> int:
    """How long it may be reused; a response that sets a cookie is private."""
    names = dict(headers)
    max_age = MAX_AGE.search(names.get(SURROGATE.encode(), b""))
    is_public = max_age and status == HTTPStatus.OK and b"set-cookie" not in names
    return int(max_age[1]) if max_age and is_public else 0


def _header(scope: Scope, header: bytes) -> bytes:
    """All values of a header."""
    return b", ".join(value for name, value in scope["headers"] if name == header)


async def _response_of(app: ASGIApp, scope: Scope) -> tuple[int, Headers, bytes]:
    status, headers = 0, []
    body = bytearray()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def collect(message: Any) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [(name.lower(), value) for name, value in message["headers"]]
        else:
            body.extend(message.get("body", b""))

    await app(scope, receive, collect)
    return status, headers, bytes(body)


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
