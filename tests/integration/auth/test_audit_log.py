"""The audit log of sign-ins, failures, sign-outs and changed passwords."""

from typing import Any

import pytest

from cinesync.chassis import audit_log
from cinesync.chassis.audit_log import EntryView, Filter
from tests.integration.auth.conftest import Auth, OpenAuth

ADA = "ada@example.org"


async def entries(auth: Auth, **where: Any) -> list[EntryView]:
    """Oldest first."""
    return (await auth.db.run_one(audit_log.page, Filter(**where)))[::-1]


async def test_sign_in_and_sign_out_are_logged(auth: Auth) -> None:
    customer_id = (await auth.register(ADA)).json()["customer_id"]
    await auth.login(ADA)
    await auth.post("logout")
    await auth.post("logout")  # has ended already
    found = await entries(auth)
    assert [one.action for one in found] == [
        "account.registered",
        "session.signed_in",
        "session.signed_out",
    ]
    assert {str(one.actor_id) for one in found} == {customer_id}
    assert {(one.actor_role, one.address) for one in found} == {("customer", "192.0.2.7")}
    assert found[1].object_id == found[2].object_id, "one session"


async def test_a_failed_sign_in_logs_the_account_or_a_keyed_hash_of_the_email(
    auth: Auth,
) -> None:
    customer_id = (await auth.register(ADA)).json()["customer_id"]
    await auth.login(ADA, "not the password")
    await auth.login("hunter2-typed-here@example.org", "not the password")
    wrong, unknown = await entries(auth, action="session.sign_in_failed")
    assert (wrong.object_kind, wrong.object_id) == ("account", customer_id)
    assert (unknown.object_kind, unknown.reason) == ("email_hash", "no such account")
    assert wrong.actor_id is unknown.actor_id is None
    assert "hunter2" not in str(await auth.query("SELECT * FROM audit_log"))
    assert "not the password" not in str(await auth.query("SELECT * FROM audit_log"))


async def test_a_refresh_token_used_twice_is_logged_with_its_session(open_auth: OpenAuth) -> None:
    auth = await open_auth(REFRESH_GRACE_SECONDS="1")
    customer_id = (await auth.register(ADA)).json()["customer_id"]
    await auth.login(ADA)
    stolen = auth.cookie
    await auth.post("refresh")
    await auth.post("refresh")
    auth.forget_cookies()
    thief = await auth.post("refresh", headers={"Cookie": f"cinesync_refresh={stolen}"})
    assert thief.status_code == 401
    [signed_in] = await entries(auth, action="session.signed_in")
    [reused] = await entries(auth, action="session.refresh_token_reused")
    assert (reused.object_kind, reused.object_id) == ("session", signed_in.object_id)
    assert (reused.before or {})["customer_id"] == customer_id


async def test_a_changed_password_is_logged_without_it(auth: Auth) -> None:
    await auth.register(ADA)
    token = (await auth.login(ADA)).json()["access_token"]
    changed = await auth.me(
        token,
        name="Ada",
        password="another-secret-of-hers",
        current_password="popcorn-and-a-movie",
    )
    assert changed.status_code == 200, changed.text
    [entry] = await entries(auth, action="account.password_changed")
    assert (entry.object_kind, entry.before, entry.after) == ("account", None, None)
    assert "another-secret" not in str(await auth.query("SELECT * FROM audit_log"))


@pytest.mark.parametrize(("role", "status"), [("manager", 200), ("staff", 403)])
async def test_managers_read_the_audit_log(auth: Auth, role: str, status: int) -> None:
    await auth.register(ADA)
    await auth.query("UPDATE customers_local SET role = :role", role=role)
    token = (await auth.login(ADA)).json()["access_token"]
    answer = await auth.browser.get(
        "/api/auth/audit-log",
        params={"action": "account.registered"},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert answer.status_code == status
    if status == 200:
        assert [item["action"] for item in answer.json()["items"]] == ["account.registered"]
