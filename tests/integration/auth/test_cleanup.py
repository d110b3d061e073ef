"""Settings, clean-up, and the OpenAPI document."""

import asyncio

import pytest

from cinesync.auth.app import Settings, create
from cinesync.auth.retention import cleanup
from cinesync.chassis.settings import SettingsError, describe, load
from tests.integration.auth.conftest import SECRET, Auth


def test_settings_out_of_range_are_named_all_at_once() -> None:
    environ = {
        "DATABASE_URL": "postgresql://localhost/auth",
        "SECRET_KEY": SECRET,
        "KEY_DAYS": "0",
        "ACCESS_SECONDS": "-1",
        "TRUSTED_PROXIES": "nonsense",
    }
    with pytest.raises(SettingsError) as caught:
        create(load(Settings, environ))
    for name in ("KEY_DAYS", "ACCESS_SECONDS", "TRUSTED_PROXIES"):
        assert name in str(caught.value)


def test_every_setting_has_a_description_and_no_secret_is_shown() -> None:
    assert all(doc.doc for doc in describe(Settings))
    environ = {"DATABASE_URL": "postgresql://u:hidden@localhost/auth", "SECRET_KEY": SECRET}
    shown = repr(create(load(Settings, environ)))
    assert SECRET not in shown
    assert "hidden" not in shown


async def test_expired_rows_are_deleted_in_batches(
    auth: Auth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "BATCH_ROWS", 3)
    await auth.register("ada@example.org")
    for _ in range(8):
        await auth.login("ada@example.org")
    for _ in range(8):
        await auth.login("nobody@example.org")
    await auth.query(
        "UPDATE sessions SET expires_at = now() WHERE session_id IN"
        " (SELECT session_id FROM sessions ORDER BY session_id ASC LIMIT 5)"
    )
    await auth.query(
        "UPDATE sign_in_failures SET failed_at = now() - interval '1 hour' WHERE failure_id IN"
        " (SELECT failure_id FROM sign_in_failures ORDER BY failure_id ASC LIMIT 5)"
    )
    passed = asyncio.Event()
    last = auth.cleanup.delete_failures

    async def then_set() -> None:
        await last()
        passed.set()

    monkeypatch.setattr(auth.cleanup, "delete_failures", then_set)
    loop = asyncio.create_task(auth.cleanup.run())
    await passed.wait()
    loop.cancel()
    assert (await auth.count("sessions"), await auth.count("sign_in_failures")) == (3, 3)


async def test_the_api_describes_itself(auth: Auth) -> None:
    answer = await auth.browser.get("/api/auth/openapi.json")
    assert answer.status_code == 200
    paths = answer.json()["paths"]
    assert set(paths) == {
        f"/api/auth/{name}"
        for name in (
            *("register", "login", "links", "links/use", "links/erase", "guest", "refresh"),
            *("logout", "me", "me/data", "me/erase"),
        )
    } | {"/api/auth/audit-log", "/api/auth/revocations", "/api/auth/.well-known/jwks.json"}
    assert (await auth.browser.get("/api/auth/docs")).status_code == 200
