"""Pages that are the same for everybody are shared; nothing that is somebody's ever is."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from flask import Flask, session
from flask.testing import FlaskClient
from litestar.types import ASGIApp, Receive, Scope, Send

from cinesync.bootstrap import pages_as_asgi
from cinesync.web import page_cache
from cinesync.web.page_cache import PageCache
from tests.support.fake_apis.state import EMAIL, MOVIE, PASSWORD, SHOW, THEATER, FakeApis

PATHS = ("/", f"/movies/{MOVIE}", "/theaters", f"/theaters/{THEATER}", "/shows", f"/shows/{SHOW}")
GOOD = {"email": EMAIL, "password": PASSWORD}

NewVisitor = Callable[[], httpx.AsyncClient]


@pytest.fixture
async def new_visitor(app: Flask) -> AsyncIterator[NewVisitor]:
    """Another browser each, at one storefront as it is served."""
    transport = httpx.ASGITransport(pages_as_asgi(app))  # type: ignore[arg-type]  # the same, in other words
    browsers: list[httpx.AsyncClient] = []

    def open_one() -> httpx.AsyncClient:
        browsers.append(httpx.AsyncClient(transport=transport, base_url="http://shop.test"))
        return browsers[-1]

    yield open_one
    for browser in browsers:
        await browser.aclose()


@pytest.mark.parametrize("path", PATHS)
async def test_visitors_share_a_public_page(
    new_visitor: NewVisitor, apis: FakeApis, path: str
) -> None:
    first = await new_visitor().get(path)
    count = len(apis.requests)
    assert count > 0
    second = await new_visitor().get(path)
    assert len(apis.requests) == count
    assert second.content == first.content
    for page in (first, second):
        assert page.status_code == 200
        assert "set-cookie" not in page.headers
        assert "csrf_token" not in page.text
        assert page_cache.SURROGATE not in page.headers
        assert {"Cookie", "Accept-Language"} <= set(page.headers["vary"].split(", "))


async def test_each_language_and_each_filter_has_its_own_page(new_visitor: NewVisitor) -> None:
    visitor, path = new_visitor(), f"/movies/{MOVIE}?city=Tokyo"
    british = await visitor.get(path, headers={"Accept-Language": "en-GB"})
    american = await visitor.get(path, headers={"Accept-Language": "en-US,en;q=0.5"})
    assert "18:30" in british.text
    assert "PM" in american.text
    assert "Shibuya" not in (await visitor.get(f"/movies/{MOVIE}?city=London")).text


@pytest.mark.parametrize("path", PATHS)
async def test_a_signed_in_visitors_page_is_private(new_visitor: NewVisitor, path: str) -> None:
    customer, before, after = new_visitor(), new_visitor(), new_visitor()
    await customer.post("/sign-in", data=GOOD)
    await before.get(path)
    assert "Sign out" in (await customer.get(path)).text
    assert "Sign out" not in (await after.get(path)).text
    await customer.post(f"/shows/{SHOW}/hold", data={"seat": ["C4"]})
    assert "are yours for" in (await customer.get(path)).text
    assert "are yours for" not in (await new_visitor().get(path)).text


@pytest.mark.parametrize("path", PATHS)
async def test_a_customers_page_is_not_shared(new_visitor: NewVisitor, path: str) -> None:
    customer = new_visitor()
    await customer.post("/sign-in", data=GOOD)
    assert "Sign out" in (await customer.get(path)).text
    assert "Sign out" not in (await new_visitor().get(path)).text


async def test_a_flashed_message_reaches_one_visitor(new_visitor: NewVisitor) -> None:
    customer = new_visitor()
    await customer.post("/sign-in", data=GOOD)
    await customer.post("/sign-out")
    assert "You are signed out." in (await customer.get("/")).text
    assert "You are signed out." not in (await new_visitor().get("/")).text
    assert "You are signed out." not in (await customer.get("/")).text


async def test_an_unchanged_page_is_not_sent_again(new_visitor: NewVisitor) -> None:
    visitor = new_visitor()
    page = await visitor.get("/")
    assert page.headers["cache-control"] == "private, no-cache"
    for tag in (page.headers["etag"], f'"other", {page.headers["etag"]}'):
        again = await visitor.get("/", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == page.headers["etag"]
        assert "content-type" not in again.headers
    assert (await visitor.get("/", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_a_public_page_is_compressed_and_a_private_one_is_not(
    new_visitor: NewVisitor,
) -> None:
    """What is somebody's has secrets in it (BREACH)."""
    plain, small = [
        await new_visitor().get("/", headers={"Accept-Encoding": coding})
        for coding in ("identity", "gzip")
    ]
    assert "content-encoding" not in plain.headers
    assert small.headers["content-encoding"] == "gzip"
    assert small.text == plain.text
    assert int(small.headers["content-length"]) < int(plain.headers["content-length"])
    for page in (plain, small):
        assert "accept-encoding" in page.headers["vary"]
    customer = new_visitor()
    await customer.post("/sign-in", data=GOOD)
    own = await customer.get("/", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in own.headers


async def test_an_error_is_not_cached(new_visitor: NewVisitor, apis: FakeApis) -> None:
    apis.fail("/api/movies/theaters", 503)
    assert (await new_visitor().get("/theaters")).status_code == 503
    apis.faults.clear()
    assert (await new_visitor().get("/theaters")).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_private_page_is_not_marked_as_public(app: Flask, path: str) -> None:
    """What the cache would believe."""
    assert page_cache.SURROGATE in app.test_client().get(path).headers
    customer = app.test_client()
    customer.post("/sign-in", data=GOOD)
    assert page_cache.SURROGATE not in customer.get(path).headers
    customer.post("/sign-out")
    assert page_cache.SURROGATE not in customer.get(path).headers


def test_a_page_that_starts_a_session_is_not_marked_as_public(
    visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(_names: object) -> dict[str, str]:
        session["wanted"] = {}
        return {}

    monkeypatch.setattr("cinesync.web.storefront.browse._chosen", begin)
    page = visitor.get("/")
    assert "Set-Cookie" in page.headers
    assert page_cache.SURROGATE not in page.headers


# The cache alone, before pages that are marked whatever they hold.


class Pages:
    """Counts its responses, each another one and public for ten seconds."""

    def __init__(self, *more: tuple[bytes, bytes]) -> None:
        self.made = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.trouble: Exception | None = None
        self._headers = [(b"Surrogate-Control", b"max-age=10"), *more]

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        self.made += 1
        body = str(self.made).encode()
        await receive()
        await self.go_on.wait()
        if self.trouble:
            raise self.trouble
        start: Any = {"type": "http.response.start", "status": 200, "headers": self._headers}
        await send(start)
        await send({"type": "http.response.body", "body": body, "more_body": False})


async def got(app: ASGIApp, path: str = "/", method: str = "GET", **headers: str) -> str:
    transport = httpx.ASGITransport(app)  # type: ignore[arg-type]  # the same, in other words
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
        return (await client.request(method, path, headers=headers)).text


async def test_a_page_is_rendered_again_when_it_is_stale() -> None:
    now = [100.0]
    cache = PageCache(Pages(), now=lambda: now[0])
    assert await got(cache) == "1"
    now[0] += 9.9
    assert await got(cache) == "1"
    now[0] += 0.1
    assert await got(cache) == "2"


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "cinesync=x"},
        {"Cookie": "a=b; cinesync=x; c=d"},
        {"Authorization": "Bearer x"},
    ],
)
async def test_a_request_with_credentials_bypasses_the_cache(
    headers: dict[str, str],
) -> None:
    cache = PageCache(Pages())
    assert await got(cache, **headers) == "1"
    assert await got(cache) == "2"
    assert await got(cache, **headers) == "3"
    assert await got(cache) == "2"


async def test_pages_over_http_and_https_are_cached_apart() -> None:
    cache = PageCache(Pages())
    assert await got(cache, **{"X-Forwarded-Proto": "https"}) == "1"
    assert await got(cache) == "2"


async def test_cookies_of_others_are_no_session() -> None:
    cache = PageCache(Pages())
    assert await got(cache, Cookie="theme=dark; cinesync_refresh=x") == "1"
    assert await got(cache) == "1"


@pytest.mark.parametrize("path", ["/sign-in", "/bookings", "/account", "/holds/1", "/static/a.css"])
async def test_only_browsing_pages_are_cached(path: str) -> None:
    cache = PageCache(Pages())
    assert [await got(cache, path), await got(cache, path)] == ["1", "2"]


async def test_a_post_is_not_cached() -> None:
    cache = PageCache(Pages())
    assert [await got(cache, method="POST"), await got(cache, method="POST")] == ["1", "2"]


async def test_a_response_with_a_cookie_is_for_one_visitor() -> None:
    cache = PageCache(Pages((b"Set-Cookie", b"cinesync=ada")))
    assert [await got(cache), await got(cache)] == ["1", "2"]


class Crowd:
    """Visitors who are all there before the page they want is made."""

    def __init__(self, pages: Pages, count: int) -> None:
        self._pages, self._cache = pages, PageCache(pages)
        self._count = count
        self._all_here = asyncio.Event()
        self._here = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._here += 1
        if self._here == self._count:
            self._all_here.set()
        await self._cache(scope, receive, send)

    async def gathered(self) -> list[asyncio.Task[str]]:
        self._pages.go_on.clear()
        waiting = [asyncio.create_task(got(self)) for _ in range(self._count)]
        await self._all_here.wait()
        return waiting


async def test_concurrent_requests_share_one_rendering_even_if_the_first_disconnects() -> None:
    pages = Pages()
    first, *others = await Crowd(pages, 5).gathered()
    first.cancel()
    pages.go_on.set()
    assert await asyncio.gather(*others) == ["1"] * 4


async def test_requests_that_waited_for_a_private_page_are_rendered_on_their_own() -> None:
    pages = Pages((b"Set-Cookie", b"cinesync=ada"))
    waiting = await Crowd(pages, 3).gathered()
    pages.go_on.set()
    assert sorted(await asyncio.gather(*waiting)) == ["1", "2", "3"]


async def test_a_failed_rendering_is_retried() -> None:
    pages = Pages()
    pages.trouble = ZeroDivisionError()
    cache = PageCache(pages)
    with pytest.raises(ZeroDivisionError):
        await got(cache)
    pages.trouble = None
    assert await got(cache) == "2"


async def test_the_cache_is_limited_in_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_cache, "CACHE_BYTES_MAX", 1)
    cache = PageCache(Pages())
    for path, expected in (("/", "1"), ("/?q=a", "2"), ("/?q=a", "2"), ("/", "3")):
        assert await got(cache, path) == expected
