"""The cache of API responses: used while fresh, then revalidated by ETag."""

from collections.abc import Mapping

import httpx
import pytest

from cinesync.chassis import clock
from cinesync.web import api_cache
from cinesync.web.api_cache import ApiCache
from cinesync.web.app import Settings, create
from tests.support.fake_apis import api
from tests.support.fake_apis.state import SHOW, FakeApis


class Source:
    """An API with one response. It stores the headers of its requests."""

    def __init__(self, text: str, **headers: str) -> None:
        self.text = text
        self.headers = headers
        self.requests: list[Mapping[str, str]] = []
        self.decoded = 0

    def send(self, headers: Mapping[str, str]) -> httpx.Response:
        self.requests.append(headers)
        tag = self.headers.get("ETag")
        if tag is not None and headers.get("If-None-Match") == tag:
            return httpx.Response(304, headers=self.headers)
        return httpx.Response(200, text=self.text, headers=self.headers)

    def decode(self, response: httpx.Response) -> list[str]:
        self.decoded += 1
        return [response.text]

    def get_by(self, shared: ApiCache) -> list[str]:
        return shared.get("key", self.send, self.decode)


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows."""
    now = [1000.0]
    monkeypatch.setattr(clock, "monotonic_seconds", lambda: now[0])
    return now


def test_a_fresh_response_needs_no_request(seconds: list[float]) -> None:
    shared, source = ApiCache(), Source("films", **{"Cache-Control": "public, max-age=30"})
    first = source.get_by(shared)
    seconds[0] += 29
    assert source.get_by(shared) is first
    seconds[0] += 1
    assert source.get_by(shared) == first
    assert len(source.requests) == 2


def test_an_unchanged_response_is_not_decoded_again(seconds: list[float]) -> None:
    shared = ApiCache()
    source = Source("films", ETag='"1"', **{"Cache-Control": "public, max-age=30"})
    first = source.get_by(shared)
    seconds[0] += 30
    assert source.get_by(shared) is first
    assert source.requests == [{}, {"If-None-Match": '"1"'}]
    assert source.decoded == 1
    seconds[0] += 29
    source.get_by(shared)
    assert len(source.requests) == 2


def test_a_changed_response_replaces_the_cached_one(seconds: list[float]) -> None:
    shared, source = ApiCache(), Source("12 left", ETag='"1"', **{"Cache-Control": "no-cache"})
    source.get_by(shared)
    source.text, source.headers["ETag"] = "11 left", '"2"'
    assert source.get_by(shared) == ["11 left"]
    assert source.get_by(shared) == ["11 left"]
    assert source.decoded == 2


@pytest.mark.parametrize("headers", [{}, {"Cache-Control": "no-cache, max-age=30"}])
def test_a_response_without_validators_is_requested_each_time(headers: dict[str, str]) -> None:
    shared, source = ApiCache(), Source("films", **headers)
    source.get_by(shared)
    source.get_by(shared)
    assert source.requests == [{}, {}]


def test_the_cache_is_limited_in_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_cache, "CACHE_BYTES_MAX", 10)
    shared, source = ApiCache(), Source("6 each", ETag='"1"')
    for key in ("one", "another", "one"):
        shared.get(key, source.send, source.decode)
    assert source.requests == [{}, {}, {}]


def test_a_response_to_a_token_is_never_shared(apis: FakeApis) -> None:
    """Even if an API headers by mistake that everything may be."""
    apis.headers = {"Cache-Control": "public, max-age=60", "ETag": '"1"'}
    with httpx.WSGITransport(api.build(apis)) as transport:
        app = create(Settings("http://api.test", "a secret of tests"), transport)
        app.config["WTF_CSRF_ENABLED"] = False
        ada, bob = app.test_client(), app.test_client()
        ada.post("/guest", data={"email": "ada@example.org"})
        bob.post("/guest", data={"email": "bob@example.org"})
        hold = ada.post(f"/shows/{SHOW}/hold", data={"seat": ["C4"]}).location
        assert ada.get(hold).status_code == 200
        assert bob.get(hold).status_code == 410
        assert "Casablanca" in ada.get("/bookings").text
        assert "Casablanca" not in bob.get("/bookings").text
    assert len(apis.sent(f"/api/movies/shows/{SHOW}")) == 1
