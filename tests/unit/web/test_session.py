"""Sharing one use of a refresh token."""

import threading

import pytest

from cinesync.web import session
from cinesync.web.api_client import ApiClient, ApiProblem
from cinesync.web.api_models import Tokens
from cinesync.web.session import Refreshes

pytestmark = pytest.mark.slow


class FakeApi(ApiClient):
    """Counts refreshes, and waits in them until the test goes on."""

    def __init__(self) -> None:
        self.refreshed: list[str] = []
        self.started = threading.Event()
        self.go_on = threading.Event()
        self.refusal: ApiProblem | None = None
        self.go_on.set()

    def refresh(self, refresh_token: str) -> tuple[Tokens, str | None]:
        self.refreshed.append(refresh_token)
        self.started.set()
        assert self.go_on.wait(10)
        if self.refusal:
            raise self.refusal
        return Tokens(f"access {len(self.refreshed)}", 900), "next"


def test_concurrent_requests_share_one_refresh() -> None:
    api, refreshes, got = FakeApi(), Refreshes(), []
    api.go_on.clear()
    tabs = [
        threading.Thread(target=lambda: got.append(refreshes.refresh(api, "r1"))) for _ in range(4)
    ]
    tabs[0].start()
    assert api.started.wait(10)
    for tab in tabs[1:]:
        tab.start()
    api.go_on.set()
    for tab in tabs:
        tab.join()
    assert api.refreshed == ["r1"]
    assert len(got) == 4
    assert len({tokens.access_token for tokens, _ in got}) == 1


def test_one_customers_slow_refresh_delays_nobody_else() -> None:
    slow, quick, refreshes = FakeApi(), FakeApi(), Refreshes()
    slow.go_on.clear()
    waiting = threading.Thread(target=lambda: refreshes.refresh(slow, "r1"))
    waiting.start()
    assert slow.started.wait(10)
    assert refreshes.refresh(quick, "r2")[1] == "next"
    slow.go_on.set()
    waiting.join()


def test_a_failed_refresh_can_be_retried() -> None:
    api, refreshes = FakeApi(), Refreshes()
    api.refusal = ApiProblem(503, "Not now.")
    with pytest.raises(ApiProblem):
        refreshes.refresh(api, "r1")
    api.refusal = None
    assert refreshes.refresh(api, "r1")[1] == "next"


def test_a_refresh_is_shared_only_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REFRESH_SHARED_SECONDS", 0)
    api, refreshes = FakeApi(), Refreshes()
    refreshes.refresh(api, "r1")
    refreshes.refresh(api, "r1")
    assert api.refreshed == ["r1", "r1"]


def test_the_number_of_shared_refreshes_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REFRESHES_MAX", 2)
    api, refreshes = FakeApi(), Refreshes()
    for token in ("r1", "r2", "r3", "r3", "r1"):
        refreshes.refresh(api, token)
    assert api.refreshed == ["r1", "r2", "r3", "r1"]
