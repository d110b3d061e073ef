"""A session that ended is over in every process: replicas, pages, and one that starts late."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from cinesync.supervisor.postgres import Postgres
from tests.conftest import MakeDatabase
from tests.security.served import Served
from tests.support.eventually import wait_for

pytestmark = pytest.mark.no_cover  # their work is in other processes

EMAIL = "ada@example.org"
PASSWORD = "a horse, a battery, a staple"
# Known callers are told what they may not; unknown ones to sign in.
KNOWN, UNKNOWN = 403, 401

Start = Callable[..., Served]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def begin(parts: str, name: str, **environ: str) -> Served:
            served = Served(parts, tmp_path / f"{name}.log", **environ)
            stack.callback(served.stop)
            return served

        yield begin


@pytest.fixture
async def urls(make_database: MakeDatabase, postgres: Postgres) -> dict[str, str]:
    databases = {name: await make_database(name) for name in ("auth", "movies")}
    return {f"{name.upper()}_DATABASE_URL": postgres.url(db.name) for name, db in databases.items()}


def signed_in(browser: httpx.Client) -> str:
    who = {"email": EMAIL, "password": PASSWORD}
    assert browser.post("/api/auth/register", json=who | {"name": "Ada"}).status_code == 201
    return str(browser.post("/api/auth/login", json=who).json()["access_token"])


def standing(replica: Served, token: str) -> int:
    """KNOWN or UNKNOWN there: the audit log is not for customers."""
    with replica.client() as client:
        headers = {"Authorization": f"Bearer {token}"}
        return client.get("/api/movies/audit-log", headers=headers).status_code


def is_unknown(replica: Served, token: str) -> bool:
    return standing(replica, token) == UNKNOWN


def test_every_replica_refuses_the_token_after_the_sign_out_and_so_does_one_that_starts_late(
    start: Start, urls: dict[str, str]
) -> None:
    auth = start("auth", "auth", **urls)
    shared = urls | {"AUTH_URL": auth.url}
    replicas = [start("movies", name, **shared) for name in ("movies-1", "movies-2")]
    with auth.client() as browser:
        token = signed_in(browser)
        assert [standing(replica, token) for replica in replicas] == [KNOWN, KNOWN]
        assert browser.post("/api/auth/logout").status_code == 204
        me = browser.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"})
        assert me.status_code == UNKNOWN, "at once in the process that ended it"
    for replica in replicas:
        wait_for(partial(is_unknown, replica, token), "the session ends on every replica")
    late = start("movies", "movies-3", **shared)
    assert standing(late, token) == UNKNOWN, "from its first request on"
    replicas[0].stop()
    replicas[0].start()
    assert standing(replicas[0], token) == UNKNOWN


def form_token(page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert found, page[:2000]
    return found[1]


def sign_in(browser: httpx.Client) -> None:
    form = form_token(browser.get("/sign-in").text)
    who = {"email": EMAIL, "password": PASSWORD, "csrf_token": form, "next": "/account"}
    answer = browser.post("/sign-in", data=who)
    assert answer.status_code == 303, answer.text[:2000]


def test_a_copied_cookie_of_the_pages_dies_with_the_session(
    start: Start, urls: dict[str, str]
) -> None:
    here = start("auth web", "both", **urls)
    pages = start("web", "pages", **urls, AUTH_URL=here.url, API_URL=here.url)
    who = {"email": EMAIL, "password": PASSWORD}
    with here.client() as owner, here.client() as thief, pages.client() as elsewhere:
        assert owner.post("/api/auth/register", json=who | {"name": "Ada"}).status_code == 201
        sign_in(owner)
        stolen = owner.cookies["cinesync"]
        for copy in (thief, elsewhere):
            copy.cookies.set("cinesync", stolen)
            assert copy.get("/account").status_code == 200
        form = form_token(owner.get("/account").text)
        assert owner.post("/sign-out", data={"csrf_token": form}).status_code == 303
        assert thief.get("/account").status_code == 303, "at once where auth is"
        assert "Sign out" not in thief.get("/").text
        elsewhere.cookies.clear()
        elsewhere.cookies.set("cinesync", stolen)

        def is_over() -> bool:
            elsewhere.cookies.clear()
            elsewhere.cookies.set("cinesync", stolen)
            answer = elsewhere.get("/ledger", follow_redirects=True)
            return "Sign out" not in answer.text

        assert elsewhere.get("/account").status_code == 303, "the APIs refuse it"
        wait_for(is_over, "the session ends")  # also on pages that ask no API of the visitor's
