"""Sharing one exchange of a refresh token."""

import threading

import pytest

from cinesync.web import session
from cinesync.web.api_client import ApiClient, ApiProblem
from cinesync.web.api_models import Tokens
from cinesync.web.session import Refreshes

pytestmark = pytest.mark.slow


class FakeApi(ApiClient):
    """Counts exchanges; waits in them until it is let go on."""

    def __init__(self) -> None:
        self.exchanged: list[str] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self.refusal: ApiProblem | None = None
        self.go_on.set()

    def refresh(self, refresh_token: str) -> tuple[Tokens, str | None]:
        self.exchanged.append(refresh_token)
        self.begun.set()
        assert self.go_on.wait(10)
        if self.refusal:
            raise self.refusal
        return Tokens(f"access {len(self.exchanged)}", 900), "next"


def test_tabs_that_come_together_share_one_exchange() -> None:
    api, refreshes, got = FakeApi(), Refreshes(), []
    api.go_on.clear()
    tabs = [
        threading.Thread(target=lambda: got.append(refreshes.refresh(api, "r1"))) for _ in range(4)
    ]
    tabs[0].start()
    assert api.begun.wait(10)
    for tab in tabs[1:]:
        tab.start()
    api.go_on.set()
    for tab in tabs:
        tab.join()
    assert api.exchanged == ["r1"]
    assert len(got) == 4
    assert len({tokens.access_token for tokens, _ in got}) == 1


def test_one_customers_slow_exchange_holds_up_nobody_else() -> None:
    slow, quick, refreshes = FakeApi(), FakeApi(), Refreshes()
    slow.go_on.clear()
    waiting = threading.Thread(target=lambda: refreshes.refresh(slow, "r1"))
    waiting.start()
    assert slow.begun.wait(10)
    assert refreshes.refresh(quick, "r2")[1] == "next"
    slow.go_on.set()
    waiting.join()


def test_a_failed_exchange_may_be_tried_again() -> None:
    api, refreshes = FakeApi(), Refreshes()
    api.refusal = ApiProblem(503, "Not now.")
    with pytest.raises(ApiProblem):
        refreshes.refresh(api, "r1")
    api.refusal = None
    assert refreshes.refresh(api, "r1")[1] == "next"


def test_an_exchange_is_shared_only_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REFRESH_SHARED_SECONDS", 0)
    api, refreshes = FakeApi(), Refreshes()
    refreshes.refresh(api, "r1")
    refreshes.refresh(api, "r1")
    assert api.exchanged == ["r1", "r1"]


def test_only_so_many_exchanges_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "REFRESHES_MAX", 2)
    api, refreshes = FakeApi(), Refreshes()
    for token in ("r1", "r2", "r3", "r3", "r1"):
        refreshes.refresh(api, token)
    assert api.exchanged == ["r1", "r2", "r3", "r1"]
