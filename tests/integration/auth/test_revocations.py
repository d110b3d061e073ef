"""Ending a session ends its access tokens, in the auth process at once."""

from uuid import UUID

import pytest

from cinesync.auth import staff
from cinesync.auth.revocations import published
from cinesync.auth.revocations import store as revocation_store
from cinesync.chassis.database import Transaction
from cinesync.chassis.http.security.access_tokens import Verifier
from cinesync.chassis.http.security.revocations import PATH, RevocationList, Revocations
from tests.integration.auth.conftest import PASSWORD, Auth, OpenAuth

ADA = "ada@example.org"
NEW = "another-secret-of-hers"


async def signed_in(auth: Auth) -> str:
    await auth.register(ADA)
    token: str = (await auth.login(ADA)).json()["access_token"]
    assert (await auth.me(token)).status_code == 200
    return token


async def listed(auth: Auth) -> list[str]:
    """The sessions in the published list."""
    listed = (await auth.browser.get(PATH)).json()
    return sorted({**listed["sessions"], **listed["guests"]})


@pytest.fixture(autouse=True)
def always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "FRESH_SECONDS", 0.0)


async def test_signing_out_ends_the_access_token_too(auth: Auth) -> None:
    token = await signed_in(auth)
    assert (await auth.post("logout")).status_code == 204
    answer = await auth.me(token)
    assert answer.status_code == 401
    assert answer.json()["title"] == "This session has ended; please sign in again."
    [(session_id,)] = await auth.query("SELECT session_id FROM sessions")
    assert await listed(auth) == [str(session_id)]


async def test_without_the_list_an_access_token_stays_valid(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await signed_in(auth)
    monkeypatch.setattr(Revocations, "has", lambda *_, **__: False)
    await auth.post("logout")
    assert (await auth.me(token)).status_code == 200


async def test_signing_out_with_the_access_token_alone_ends_the_session(auth: Auth) -> None:
    token = await signed_in(auth)
    cookie = auth.cookie
    auth.forget_cookies()
    await auth.post("logout", headers={"Authorization": f"Bearer {token}"})
    assert (await auth.me(token)).status_code == 401
    stolen = {"Cookie": f"cinesync_refresh={cookie}"}
    assert (await auth.post("refresh", headers=stolen)).status_code == 401


async def test_signing_out_ends_a_guests_token(auth: Auth) -> None:
    token = (await auth.post("guest", {"email": ADA})).json()["access_token"]
    other = (await auth.post("guest", {"email": ADA})).json()["access_token"]
    await auth.post("logout", headers={"Authorization": f"Bearer {token}"})
    assert (await auth.me(token)).status_code == 401
    assert (await auth.me(other)).status_code == 200


async def test_a_changed_password_ends_every_other_session_and_its_tokens(auth: Auth) -> None:
    first = await signed_in(auth)
    auth.forget_cookies()
    second = (await auth.login(ADA)).json()["access_token"]
    changed = await auth.me(second, name="Ada", password=NEW, current_password=PASSWORD)
    assert changed.status_code == 200
    assert (await auth.me(first)).status_code == 401
    assert (await auth.me(second)).status_code == 401
    renewed = (await auth.post("refresh")).json()["access_token"]
    assert (await auth.me(renewed)).status_code == 200


async def test_a_refresh_token_used_twice_ends_the_access_tokens_of_both(auth: Auth) -> None:
    await signed_in(auth)
    stolen = auth.cookie
    await auth.post("refresh")
    latest = (await auth.post("refresh")).json()["access_token"]
    assert (await auth.me(latest)).status_code == 200
    auth.forget_cookies()
    await auth.post("refresh", headers={"Cookie": f"cinesync_refresh={stolen}"})
    assert (await auth.me(latest)).status_code == 401


async def test_another_process_publishes_the_same_list_with_the_same_etag(
    auth: Auth, open_auth: OpenAuth
) -> None:
    other = await open_auth(database_of=auth)
    token = await signed_in(auth)
    before = await other.browser.get(PATH)
    unchanged = await auth.browser.get(PATH, headers={"If-None-Match": before.headers["etag"]})
    assert unchanged.status_code == 304
    await auth.post("logout")
    changed = await other.browser.get(PATH, headers={"If-None-Match": before.headers["etag"]})
    assert changed.status_code == 200
    assert (await other.me(token)).status_code == 401


async def test_many_guests_push_no_session_out_of_the_list(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "GUESTS_MAX", 2)
    token = await signed_in(auth)
    guests = [(await auth.post("guest", {"email": ADA})).json()["access_token"] for _ in range(4)]
    await auth.post("logout")
    for guest in guests:
        await auth.post("logout", headers={"Authorization": f"Bearer {guest}"})
    listed = (await auth.browser.get(PATH)).json()
    assert (len(listed["sessions"]), len(listed["guests"]), listed["not_before"]) == (1, 2, 0)
    assert (await auth.me(token)).status_code == 401


async def test_when_the_list_is_full_tokens_issued_before_are_refused(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "SESSIONS_MAX", 1)
    await auth.register(ADA)
    tokens = []
    for _ in range(3):
        tokens.append((await auth.login(ADA)).json()["access_token"])
        await auth.post("logout")
    listed = (await auth.browser.get(PATH)).json()
    assert len(listed["sessions"]) == 1
    assert listed["not_before"] > 0
    fresh = Revocations()
    fresh.merge(RevocationList(listed["sessions"], {}, listed["not_before"]))
    for token in tokens:
        caller = await Verifier(auth.signing_keys.jwks).verify(token)
        assert fresh.has(caller.session_id, caller.issued_at, is_guest=False)


async def test_a_session_leaves_the_list_when_its_last_token_expires(auth: Auth) -> None:
    async def end(tx: Transaction) -> None:
        await revocation_store.revoke_sessions_of(tx, UUID(int=1))

    await auth.db.run(end)  # of no session
    await signed_in(auth)
    await auth.post("logout")
    assert len(await listed(auth)) == 1
    await auth.query("UPDATE revocations SET revoked_at = now() - interval '1 hour'")
    assert await listed(auth) == []
    assert await auth.count("revocations") == 1, "a guest's token is valid for two hours"
    await auth.query("UPDATE revocations SET revoked_at = now() - interval '3 hours'")
    await auth.db.run_one(revocation_store.delete_old_revocations, auth.cleanup._periods.tokens)
    assert await auth.count("revocations") == 0


@pytest.mark.parametrize("how", ["disabled", "given a new password"])
async def test_disabling_or_resetting_a_staff_account_ends_its_sessions(
    auth: Auth, how: str
) -> None:
    await staff.add(auth.db, ADA, "manager", "Ada", PASSWORD, "CineSync")
    token = (await auth.login(ADA)).json()["access_token"]
    assert (await auth.me(token)).status_code == 200
    if how == "disabled":
        await staff.disable(auth.db, ADA)
    else:
        await staff.reset(auth.db, ADA, NEW, "CineSync")
    await auth.browser.get(PATH)  # as every process polls it
    assert (await auth.me(token)).status_code == 401
