"""What the APIs answer to everybody: decoded once, fresh for so long, then asked for by ETag."""

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
    """An API with one answer; it counts, and knows what it was asked with."""

    def __init__(self, text: str, **headers: str) -> None:
        self.text = text
        self.headers = headers
        self.asked_with: list[Mapping[str, str]] = []
        self.decoded = 0

    def ask(self, headers: Mapping[str, str]) -> httpx.Response:
        self.asked_with.append(headers)
        tag = self.headers.get("ETag")
        if tag is not None and headers.get("If-None-Match") == tag:
            return httpx.Response(304, headers=self.headers)
        return httpx.Response(200, text=self.text, headers=self.headers)

    def decode(self, response: httpx.Response) -> list[str]:
        self.decoded += 1
        return [response.text]

    def asked_by(self, shared: ApiCache) -> list[str]:
        return shared.get("question", self.ask, self.decode)


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock shows."""
    now = [1000.0]
    monkeypatch.setattr(clock, "monotonic_seconds", lambda: now[0])
    return now


def test_nobody_asks_again_while_an_answer_is_fresh(seconds: list[float]) -> None:
    shared, source = ApiCache(), Source("films", **{"Cache-Control": "public, max-age=30"})
    first = source.asked_by(shared)
    seconds[0] += 29
    assert source.asked_by(shared) is first
    seconds[0] += 1
    assert source.asked_by(shared) == first
    assert len(source.asked_with) == 2


def test_what_has_not_changed_is_not_decoded_again(seconds: list[float]) -> None:
    shared = ApiCache()
    source = Source("films", ETag='"1"', **{"Cache-Control": "public, max-age=30"})
    first = source.asked_by(shared)
    seconds[0] += 30
    assert source.asked_by(shared) is first
    assert source.asked_with == [{}, {"If-None-Match": '"1"'}]
    assert source.decoded == 1
    seconds[0] += 29
    source.asked_by(shared)
    assert len(source.asked_with) == 2


def test_what_has_changed_replaces_what_was_known(seconds: list[float]) -> None:
    shared, source = ApiCache(), Source("12 left", ETag='"1"', **{"Cache-Control": "no-cache"})
    source.asked_by(shared)
    source.text, source.headers["ETag"] = "11 left", '"2"'
    assert source.asked_by(shared) == ["11 left"]
    assert source.asked_by(shared) == ["11 left"]
    assert source.decoded == 2


@pytest.mark.parametrize("said", [{}, {"Cache-Control": "no-cache, max-age=30"}])
def test_an_answer_that_says_nothing_is_asked_for_each_time(said: dict[str, str]) -> None:
    shared, source = ApiCache(), Source("films", **said)
    source.asked_by(shared)
    source.asked_by(shared)
    assert source.asked_with == [{}, {}]


def test_only_so_much_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_cache, "CACHE_BYTES_MAX", 10)
    shared, source = ApiCache(), Source("6 each", ETag='"1"')
    for question in ("one", "another", "one"):
        shared.get(question, source.ask, source.decode)
    assert source.asked_with == [{}, {}, {}]


def test_what_needs_a_token_is_never_shared(apis: FakeApis) -> None:
    """Even if an API said by mistake that everything may be."""
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
