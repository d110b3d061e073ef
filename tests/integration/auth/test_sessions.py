"""Refresh tokens: rotation, reuse, lost responses, sign-out, and cross-site requests."""

import asyncio
from uuid import UUID

import pytest

from cinesync.auth.credentials.secret_box import RefreshToken, SecretBox
from cinesync.auth.model import RefreshDecision
from tests.integration.auth.conftest import SECRET, Auth, OpenAuth

FOREIGN = {"Origin": "https://evil.example"}


async def _signed_in(auth: Auth) -> str:
    await auth.register("ada@example.org")
    assert (await auth.login("ada@example.org")).status_code == 200
    return auth.cookie


async def _refresh_with(auth: Auth, cookie: str) -> int:
    auth.forget_cookies()
    answer = await auth.post("refresh", headers={"Cookie": f"cinesync_refresh={cookie}"})
    return answer.status_code


async def test_the_refresh_cookie_is_for_the_browser_and_this_service_alone(
    open_auth: OpenAuth,
) -> None:
    plain = await open_auth()
    await plain.register("ada@example.org")
    answer = await plain.login("ada@example.org")
    flags = answer.headers["set-cookie"].lower().split("; ")
    assert {"httponly", "samesite=lax", "path=/api/auth", "max-age=2592000"} <= set(flags)
    assert "secure" not in flags
    assert plain.cookie not in answer.text
    behind_tls = await open_auth(database_of=plain, SHOP_URL="https://shop.example")
    answer = await behind_tls.login("ada@example.org")
    assert "secure" in answer.headers["set-cookie"].lower().split("; ")


async def test_refreshing_gives_a_new_token_and_a_new_cookie(auth: Auth) -> None:
    first = await _signed_in(auth)
    answer = await auth.post("refresh")
    assert answer.status_code == 200
    assert answer.json()["expires_in"] == 900
    assert auth.cookie != first
    caller = await auth.verifier.verify(answer.json()["access_token"])
    assert caller.role == "customer"
    assert (await auth.post("refresh")).status_code == 200


async def test_a_stolen_token_used_twice_ends_the_session_for_both(open_auth: OpenAuth) -> None:
    auth = await open_auth()
    stolen = await _signed_in(auth)
    await auth.post("refresh")
    await auth.post("refresh")
    latest = auth.cookie
    assert await _refresh_with(auth, stolen) == 401
    assert await _refresh_with(auth, latest) == 401
    assert (await auth.login("ada@example.org")).status_code == 200


async def test_without_rotation_a_thief_continues_the_session(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    stolen = await _signed_in(auth)
    await auth.post("refresh")
    await auth.post("refresh")
    monkeypatch.setattr("cinesync.auth.service.decide_refresh", lambda *_: RefreshDecision.ROTATE)
    assert await _refresh_with(auth, stolen) == 200


async def test_a_lost_response_is_repeated_with_the_same_token(auth: Auth) -> None:
    first = await _signed_in(auth)
    await auth.post("refresh")
    second = auth.cookie
    assert await _refresh_with(auth, first) == 200  # its response was lost, so it is repeated
    assert auth.cookie == second
    await auth.post("refresh")
    assert await _refresh_with(auth, first) == 401  # its successor was used by another party


async def test_a_lost_response_is_not_repeated_after_the_grace_time(auth: Auth) -> None:
    first = await _signed_in(auth)
    await auth.post("refresh")
    await auth.query("UPDATE sessions SET rotated_at = rotated_at - interval '11 seconds'")
    assert await _refresh_with(auth, first) == 401
    [row] = await auth.query("SELECT revoked_at FROM sessions")
    assert row.revoked_at is not None


async def test_tabs_that_refresh_at_once_all_get_the_same_token(open_auth: OpenAuth) -> None:
    here = await open_auth()
    cookie = await _signed_in(here)
    tabs = [here, await open_auth(database_of=here), await open_auth(database_of=here)]
    assert await asyncio.gather(*(_refresh_with(tab, cookie) for tab in tabs)) == [200] * 3
    assert len({tab.cookie for tab in tabs}) == 1
    [row] = await here.query("SELECT generation FROM sessions")
    assert row.generation == 2


async def test_a_session_ends_when_unused_for_too_long(auth: Auth) -> None:
    await _signed_in(auth)
    await auth.query("UPDATE sessions SET expires_at = now()")
    assert (await auth.post("refresh")).status_code == 401


async def test_a_session_ends_at_its_greatest_age_however_much_it_is_used(auth: Auth) -> None:
    await _signed_in(auth)
    await auth.query("UPDATE sessions SET created_at = now() - interval '179 days'")
    assert (await auth.post("refresh")).status_code == 200
    [row] = await auth.query(
        "SELECT expires_at - now() < interval '25 hours' AS soon FROM sessions"
    )
    assert row.soon


async def test_signing_out_ends_the_session_and_the_cookie(auth: Auth) -> None:
    cookie = await _signed_in(auth)
    answer = await auth.post("logout")
    assert answer.status_code == 204
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert "cinesync_refresh" not in auth.browser.cookies
    assert await _refresh_with(auth, cookie) == 401
    assert (await auth.post("logout")).status_code == 204


async def test_a_forged_refresh_token_is_refused(auth: Auth) -> None:
    cookie = await _signed_in(auth)
    other_secret = SecretBox(SECRET + "!")
    [row] = await auth.query("SELECT session_id FROM sessions")
    forged = other_secret.refresh_text(RefreshToken(row.session_id, 1))
    no_session = SecretBox(SECRET).refresh_text(RefreshToken(UUID(int=5), 1))
    flipped = ("A" if cookie[0] != "A" else "B") + cookie[1:]
    for bad in (
        forged,
        no_session,
        flipped,
        cookie[:-1],
        cookie + "A",
        "~" * 75,
        "%00",
        "",
        "💥".encode().hex(),
    ):
        assert await _refresh_with(auth, bad) == 401, bad
    assert await _refresh_with(auth, cookie) == 200
    auth.forget_cookies()
    answer = await auth.post("refresh")
    assert answer.status_code == 401
    assert answer.json()["type"] == "/problems/session-over"


async def test_a_token_that_another_request_rotated_meanwhile_is_refused(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_: object) -> bool:
        return False

    await _signed_in(auth)
    monkeypatch.setattr("cinesync.auth.store.rotate_session", lost)
    assert (await auth.post("refresh")).status_code == 401


async def test_the_database_contains_no_refresh_token(auth: Auth) -> None:
    cookie = await _signed_in(auth)
    [row] = await auth.query("SELECT session_id, address, generation FROM sessions")
    assert cookie[-43:] not in str(row)


async def test_another_sites_page_can_neither_refresh_nor_sign_anybody_in_or_out(
    auth: Auth,
) -> None:
    await _signed_in(auth)
    login = {"email": "ada@example.org", "password": "whatever it is"}
    foreign = (FOREIGN, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"})
    for headers in (*foreign, {"Origin": "null"}):
        for path, body in (("refresh", None), ("logout", None), ("login", login)):
            answer = await auth.post(path, body, headers=headers)
            assert answer.status_code == 403, (headers, path)
            assert answer.json()["type"] == "/problems/foreign-origin"
    for headers in ({"Origin": "http://shop.example"}, {"Sec-Fetch-Site": "same-origin"}, {}):
        assert (await auth.post("refresh", headers=headers)).status_code == 200


async def test_without_the_guard_another_sites_page_could_refresh(
    auth: Auth, open_auth: OpenAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _signed_in(auth)
    monkeypatch.setattr("cinesync.auth.routes.refuse_foreign_pages", lambda *_: None)
    unguarded = await open_auth(database_of=auth)
    answer = await unguarded.post(
        "refresh", headers={**FOREIGN, "Cookie": f"cinesync_refresh={auth.cookie}"}
    )
    assert answer.status_code == 200
