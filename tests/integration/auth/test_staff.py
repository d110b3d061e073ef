"""Accounts of staff and of a demo: added, disabled, with new passwords."""

import json
from pathlib import Path

import pytest

from cinesync.auth import app, staff
from cinesync.auth.fields import InvalidFields
from cinesync.auth.model import EmailTaken
from cinesync.auth.staff import DEMO_ROLES, PUBLISHED_PASSWORD, NoSuchStaff
from cinesync.chassis.settings import SettingsError
from cinesync.supervisor import demo
from tests.integration.auth.conftest import Auth

SHOP = "Odeon Palace"
PASSWORD = "what only she would know"
DEMO = {email: demo.new_password() for email in DEMO_ROLES}


async def _role(auth: Auth, email: str, password: str) -> str | None:
    answer = await auth.login(email, password)
    if answer.status_code != 200:
        return None
    return (await auth.verifier.verify(answer.json()["access_token"])).role


async def _add(auth: Auth, email: str = "grace@example.org") -> None:
    await staff.add(auth.db, email, "manager", "Grace", PASSWORD, SHOP)


async def test_staff_sign_in_with_their_role(auth: Auth) -> None:
    await _add(auth)
    assert await _role(auth, "grace@example.org", PASSWORD) == "manager"
    [one] = await staff.list_all(auth.db)
    assert (one.email, one.role, one.is_disabled) == ("grace@example.org", "manager", False)


async def test_a_wrong_field_of_new_staff_is_named(auth: Auth) -> None:
    with pytest.raises(InvalidFields, match=r"email.*password"):
        await staff.add(auth.db, "grace", "manager", "Grace", "Summer2024!", SHOP)
    with pytest.raises(InvalidFields, match="name of this shop"):
        await staff.add(auth.db, "grace@example.org", "manager", "Grace", "my Odeon Palace", SHOP)


async def test_a_taken_email_is_refused_with_the_role_of_its_account(auth: Auth) -> None:
    await auth.register("ada@example.org")
    with pytest.raises(EmailTaken, match="has an account with the role customer already"):
        await _add(auth, "ADA@example.org")


async def test_disabling_ends_access_at_once_and_a_reset_restores_it(auth: Auth) -> None:
    await _add(auth)
    assert (await auth.login("grace@example.org", PASSWORD)).status_code == 200
    await staff.disable(auth.db, "grace@example.org")
    assert (await auth.post("refresh")).status_code == 401
    assert await _role(auth, "grace@example.org", PASSWORD) is None
    [one] = await staff.list_all(auth.db)
    assert one.is_disabled
    with pytest.raises(EmailTaken, match="which is disabled"):
        await _add(auth)
    await staff.reset(auth.db, "grace@example.org", "a quite new passphrase", SHOP)
    assert await _role(auth, "grace@example.org", PASSWORD) is None
    assert await _role(auth, "grace@example.org", "a quite new passphrase") == "manager"


@pytest.mark.parametrize("email", ["nobody@example.org", "ada@example.org"])
async def test_only_staff_is_disabled_or_gets_a_new_password(auth: Auth, email: str) -> None:
    await auth.register("ada@example.org")
    with pytest.raises(NoSuchStaff):
        await staff.disable(auth.db, email)
    with pytest.raises(NoSuchStaff):
        await staff.reset(auth.db, email, PASSWORD, SHOP)


async def test_changes_of_staff_accounts_are_in_the_audit_log(auth: Auth) -> None:
    await _add(auth)
    await staff.disable(auth.db, "grace@example.org")
    await staff.reset(auth.db, "grace@example.org", "a quite new passphrase", SHOP)
    rows = await auth.query("SELECT action, actor_role FROM audit_log ORDER BY entry_id ASC")
    actions = ["account.registered", "account.disabled", "account.password_reset"]
    assert [tuple(row) for row in rows] == [(action, "operator") for action in actions]


async def test_a_demo_has_an_account_of_each_role(auth: Auth) -> None:
    await staff.seed_demo(auth.db, DEMO)
    await staff.seed_demo(auth.db, DEMO)
    for email, role in DEMO_ROLES.items():
        assert await _role(auth, email, DEMO[email]) == role
        assert await _role(auth, email, PUBLISHED_PASSWORD) is None
    assert await auth.count("customers_local") == len(DEMO_ROLES)


async def test_the_published_password_is_removed_from_demo_accounts(
    auth: Auth,
) -> None:
    await staff.seed_demo(auth.db, dict.fromkeys(DEMO, PUBLISHED_PASSWORD))
    assert (await auth.login("manager@cinesync.example", PUBLISHED_PASSWORD)).status_code == 200
    assert await staff.retire_published_password(auth.db) == list(DEMO_ROLES)
    assert (await auth.post("refresh")).status_code == 401
    for email in DEMO_ROLES:
        assert await _role(auth, email, PUBLISHED_PASSWORD) is None
    await staff.seed_demo(auth.db, DEMO)
    assert await staff.retire_published_password(auth.db) == []
    assert await _role(auth, "manager@cinesync.example", DEMO["manager@cinesync.example"])


async def test_a_new_password_of_a_demo_account_stays(auth: Auth) -> None:
    await staff.seed_demo(auth.db, DEMO)
    await staff.reset(auth.db, "manager@cinesync.example", PASSWORD, SHOP)
    await staff.seed_demo(auth.db, DEMO)
    assert await _role(auth, "manager@cinesync.example", PASSWORD) == "manager"


async def test_disabled_demo_accounts_stay_disabled(auth: Auth) -> None:
    await auth.register("staff@cinesync.example")
    await staff.seed_demo(auth.db, DEMO)
    disabled = await staff.disable_demo(auth.db)
    assert "staff@cinesync.example" not in {one.email for one in disabled}  # a customer's own
    await staff.seed_demo(auth.db, DEMO)
    assert await staff.disable_demo(auth.db) == []
    for email in {*DEMO} - {"staff@cinesync.example"}:
        assert await _role(auth, email, DEMO[email]) is None


def test_the_demos_passwords_are_read_from_their_file(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    environ = {"DEMO_ACCOUNTS": str(file)}
    assert app.demo_accounts({}) == app.demo_accounts(environ) == {}
    file.write_text(json.dumps({"chain": True, "accounts": DEMO}))
    assert app.demo_accounts(environ) == DEMO
    for changed in ("{", "[]", '{"accounts": {"boss@cinesync.example": "x"}}'):
        file.write_text(changed)
        with pytest.raises(SettingsError, match="DEMO_ACCOUNTS"):
            app.demo_accounts(environ)
