"""Ended sessions: fetched, stored until their tokens have expired, and bounded."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from cinesync.chassis import clock
from cinesync.chassis.http.client import HttpResponse, NoResponse
from cinesync.chassis.http.security import revocations
from cinesync.chassis.http.security.access_tokens import (
    JwksUnavailable,
    SessionEnded,
    Verifier,
    session_of,
)
from cinesync.chassis.http.security.revocations import (
    RevocationList,
    Revocations,
    RevocationsUnavailable,
    list_over_http,
)
from cinesync.chassis.problems import Unauthorized
from tests.unit.chassis.http.security.test_access_tokens import Issuer

SESSION = str(UUID(int=5))
NOW = 2_000_000_000


class Auth:
    """The auth service's list, and how often it was requested."""

    def __init__(self, **listed: Any) -> None:
        self.list = RevocationList(**{"sessions": {}, "guests": {}, **listed})
        self.is_away = False
        self.requests = 0

    async def __call__(self, etag: str) -> tuple[str, RevocationList | None]:
        self.requests += 1
        await asyncio.sleep(0)
        if self.is_away:
            raise NoResponse("away")
        return "same", None if etag == "same" else self.list


def later(seconds: float = 900) -> int:
    return int(clock.now().timestamp() + seconds)


async def test_a_token_of_an_ended_session_is_refused_also_when_it_was_seen_before() -> None:
    issuer, ended = Issuer("one"), Revocations()
    verifier = Verifier(issuer.fetch, ended)
    theirs = issuer.sign("one", sid=SESSION)
    other = issuer.sign("one", sid=str(UUID(int=6)))
    assert (await verifier.verify(theirs)).session_id == SESSION
    ended.merge(RevocationList({SESSION: later()}, {}))
    with pytest.raises(SessionEnded):
        await verifier.verify(theirs)
    assert (await verifier.verify(other)).session_id != SESSION


async def test_nobody_is_let_in_before_the_list_is_known() -> None:
    issuer, auth, ended = Issuer("one"), Auth(sessions={SESSION: later()}), Revocations()
    ended.follow(auth)
    auth.is_away = True
    verifier = Verifier(issuer.fetch, ended)
    token = issuer.sign("one", sid=SESSION)
    for _ in range(3):
        with pytest.raises(JwksUnavailable):
            await verifier.verify(token)
    assert auth.requests == 1, "an outage does not get a call for every request"
    auth.is_away = False
    ended._tried_at -= revocations.FIRST_PAUSE_SECONDS
    with pytest.raises(SessionEnded):
        await verifier.verify(token)


async def test_requests_that_come_at_once_wait_for_one_answer() -> None:
    auth, ended = Auth(), Revocations()
    ended.follow(auth)
    await asyncio.gather(*(ended.load_first() for _ in range(20)))
    assert auth.requests == 1
    assert ended.is_known


async def test_while_auth_is_away_what_is_known_goes_on_working() -> None:
    auth, ended = Auth(sessions={SESSION: later()}), Revocations()
    ended.follow(auth)
    await ended.load()
    auth.is_away = True
    with pytest.raises(RevocationsUnavailable):
        await ended.load()
    assert ended.is_known
    assert ended.has(SESSION, NOW, is_guest=False)


async def test_an_entry_goes_when_no_token_can_name_its_session_any_more() -> None:
    auth, ended = Auth(sessions={SESSION: later(-1), "other": later()}), Revocations()
    ended.follow(auth)
    await ended.load()
    assert not ended.has(SESSION, NOW, is_guest=False)
    assert ended.has("other", NOW, is_guest=False)


async def test_no_news_changes_nothing() -> None:
    auth, ended = Auth(sessions={SESSION: later()}), Revocations()
    ended.follow(auth)
    await ended.load()
    auth.list = RevocationList({}, {})
    await ended.load()
    assert ended.has(SESSION, NOW, is_guest=False)


def test_where_too_many_ended_older_tokens_are_refused_but_no_guests() -> None:
    ended = Revocations()
    ended.merge(RevocationList({}, {}, not_before=NOW))
    assert ended.has("any", NOW - 1, is_guest=False)
    assert not ended.has("any", NOW, is_guest=False)
    assert not ended.has("any", NOW - 1, is_guest=True)


async def test_it_is_heard_again_and_again_and_an_outage_does_not_end_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(revocations, "POLL_SECONDS", 0.001)
    auth, ended = Auth(), Revocations()
    ended.follow(auth)
    auth.is_away = True
    task = asyncio.create_task(ended.run())
    async with asyncio.timeout(30):
        while auth.requests < 3:  # noqa: ASYNC110 the loop under test is what is waited for
            await asyncio.sleep(0.001)
        auth.is_away = False
        while not ended.is_known:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    task.cancel()


@pytest.mark.parametrize("answer", [HttpResponse(500, b""), HttpResponse(200, b"no list")])
async def test_an_answer_that_is_no_list_is_not_heard(answer: HttpResponse) -> None:
    class Broken:
        async def call(self, *_: Any, **__: Any) -> HttpResponse:
            return answer

    ended = Revocations()
    ended.follow(list_over_http(Broken()))  # type: ignore[arg-type]
    with pytest.raises(RevocationsUnavailable):
        await ended.load()
    assert not ended.is_known


async def test_an_auth_service_from_before_there_was_a_list_has_ended_nothing() -> None:
    class Old:
        async def call(self, *_: Any, **__: Any) -> HttpResponse:
            return HttpResponse(404, b"")

    ended = Revocations()
    ended.follow(list_over_http(Old()))  # type: ignore[arg-type]
    await ended.load()
    assert ended.is_known


def test_the_session_of_a_kept_token_is_read_without_its_key() -> None:
    token = Issuer("one").sign("one", sid=SESSION, iat=NOW)
    assert session_of(token) == (SESSION, NOW)
    for text in ("", "a.b.c", "no token", token[:-400]):
        assert session_of(text) == ("", 0)


async def test_a_token_from_before_sessions_were_named_goes_on_working() -> None:
    issuer, ended = Issuer("one"), Revocations()
    ended.merge(RevocationList({SESSION: later()}, {}))
    assert (await Verifier(issuer.fetch, ended).verify(issuer.sign("one"))).session_id == ""
    with pytest.raises(Unauthorized):
        await Verifier(issuer.fetch, ended).verify("no token")
