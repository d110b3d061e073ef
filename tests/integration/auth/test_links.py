"""Owners sign in by a mailed link, or on a known device, whatever strangers try."""

import email
import email.policy
import re
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from cinesync.auth.links import store as link_store
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.bus import EmbeddedBus
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.chassis.messaging.outbox import Relay
from tests.integration.auth.conftest import Auth, OpenAuth

LIMITS = {"FAILURES_PER_ACCOUNT_MAX": "3", "FAILURES_PER_ADDRESS_MAX": "6"}
ADA = "ada@example.org"
NEW_PASSWORD = "a quite new passphrase"


async def _deliver(auth: Auth) -> None:
    """Deliver events, as the relay of the process does."""
    bus = EmbeddedBus()
    for event_type, handler in auth.service.handlers.items():
        bus.subscribe(Inbox("auth", event_type, handler, auth.db))
    await bus.start()
    relay = Relay("auth", auth.db, bus, "test")
    await relay.drain()
    await relay.close()
    await bus.close()


async def _mailed(
    auth: Auth, spool: Path, *, page: str = "/sign-in/link", keep: bool = False
) -> list[str]:
    """The codes in the mails that have been written since the last call."""
    await _deliver(auth)
    return _read(spool, page, keep=keep)


def _read(spool: Path, page: str, *, keep: bool) -> list[str]:
    codes = []
    for path in sorted(spool.glob("*.eml")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        body = mail.get_body()
        assert body is not None
        [url] = re.findall(r"https://\S+", body.get_content())
        assert urlsplit(url).path == page
        codes += parse_qs(urlsplit(url).query)["code"]
        if not keep:
            path.unlink()
    return codes


async def _open(open_auth: OpenAuth, spool: Path, **env: str) -> Auth:
    return await open_auth(MAIL_SPOOL=str(spool), SHOP_URL="https://kino.example", **LIMITS, **env)


async def _lock(auth: Auth) -> None:
    """Strangers guess until the right password is refused too."""
    for n in range(4):
        await auth.login(ADA, f"wrong guess {n}")
    assert (await auth.login(ADA)).status_code == 429


async def test_an_owner_locked_out_by_strangers_signs_in_by_a_link(
    open_auth: OpenAuth, tmp_path: Path
) -> None:
    auth = await _open(open_auth, tmp_path)
    await auth.register(ADA)
    await _lock(auth)
    assert (await auth.post("links", {"email": "ADA@example.org"})).status_code == 202
    [code] = await _mailed(auth, tmp_path)
    answer = await auth.post("links/use", {"code": code})
    assert answer.status_code == 200
    assert (await auth.me(answer.json()["access_token"])).json()["email"] == ADA
    assert auth.cookie
    assert (await auth.post("links/use", {"code": code})).status_code == 401


async def test_a_link_works_once_and_expires(open_auth: OpenAuth, tmp_path: Path) -> None:
    auth = await _open(open_auth, tmp_path)
    await auth.register(ADA)
    await auth.post("links", {"email": ADA})
    [code] = await _mailed(auth, tmp_path)
    for wrong in ("x", code[:-1], code + "x", code.swapcase()):
        assert (await auth.post("links/use", {"code": wrong})).status_code == 401
    await auth.query("UPDATE sign_in_links SET expires_at = now()")
    assert (await auth.post("links/use", {"code": code})).status_code == 401
    await auth.db.run(link_store.delete_expired)
    assert await auth.count("sign_in_links") == 0


async def test_the_database_contains_no_code(open_auth: OpenAuth, tmp_path: Path) -> None:
    auth = await _open(open_auth, tmp_path)
    await auth.register(ADA)
    await auth.post("links", {"email": ADA})
    [code] = await _mailed(auth, tmp_path)
    for table in ("sign_in_links", "outbox", "throttled_actions", "audit_log"):
        rows = await auth.query(f"SELECT CAST(t AS text) AS line FROM {table} AS t")
        assert rows
        assert not any(code in row.line or code.encode().hex() in row.line for row in rows)


async def test_a_forgotten_password_is_replaced_and_ends_every_session(
    open_auth: OpenAuth, tmp_path: Path
) -> None:
    auth = await _open(open_auth, tmp_path)
    await auth.register(ADA)
    await auth.login(ADA)
    stolen = auth.cookie
    await auth.post("links", {"email": ADA})
    await auth.post("links", {"email": ADA})
    code, other = await _mailed(auth, tmp_path)
    weak = await auth.post("links/use", {"code": code, "password": "Summer2024!"})
    assert (weak.status_code, weak.json()["errors"][0]["key"]) == (422, "password")
    done = await auth.post("links/use", {"code": code, "password": NEW_PASSWORD})
    assert done.status_code == 200
    auth.forget_cookies()
    headers = {"Cookie": f"cinesync_refresh={stolen}"}
    assert (await auth.post("refresh", headers=headers)).status_code == 401
    assert (await auth.post("links/use", {"code": other})).status_code == 401
    assert (await auth.login(ADA)).status_code == 401
    assert (await auth.login(ADA, NEW_PASSWORD)).status_code == 200
    actions = [row.action for row in await auth.query("SELECT action FROM audit_log")]
    assert "account.password_reset" in actions


async def test_an_unknown_email_gets_the_same_answer_and_no_mail(
    open_auth: OpenAuth, tmp_path: Path
) -> None:
    auth = await _open(open_auth, tmp_path)
    await auth.register(ADA)
    known = await auth.post("links", {"email": ADA})
    assert len(await _mailed(auth, tmp_path)) == 1
    unknown = await auth.post("links", {"email": "nobody@example.org"})
    assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert await _mailed(auth, tmp_path) == []
    assert (await auth.post("links", {"email": "nobody"})).status_code == 422


async def test_mails_to_one_account_are_limited(open_auth: OpenAuth, tmp_path: Path) -> None:
    auth = await _open(open_auth, tmp_path, LINKS_PER_ACCOUNT_MAX="2", LINKS_PER_ADDRESS_MAX="4")
    await auth.register(ADA)
    answers = [(await auth.post("links", {"email": ADA})).status_code for _ in range(6)]
    assert answers == [202] * 4 + [429] * 2
    assert len(await _mailed(auth, tmp_path)) == 2
    await auth.query("UPDATE throttled_actions SET acted_at = now() - interval '1 hour'")
    await auth.cleanup.delete_actions()
    assert await auth.count("throttled_actions") == 0
    assert (await auth.post("links", {"email": ADA})).status_code == 202


async def test_a_guest_gets_a_new_token_by_a_link(open_auth: OpenAuth, tmp_path: Path) -> None:
    auth = await _open(open_auth, tmp_path)
    first = (await auth.post("guest", {"email": ADA})).json()["access_token"]
    await auth.post("links", {"email": ADA})
    [code] = await _mailed(auth, tmp_path)
    refused = await auth.post("links/use", {"code": code, "password": NEW_PASSWORD})
    assert refused.status_code == 422
    answer = await auth.post("links/use", {"code": code})
    again = await auth.verifier.verify(answer.json()["access_token"])
    before = await auth.verifier.verify(first)
    assert (again.customer_id, again.role) == (before.customer_id, "guest")
    headers = {"Cookie": f"cinesync_refresh={auth.cookie}"}
    renewed = await auth.post("refresh", headers=headers)
    assert (await auth.verifier.verify(renewed.json()["access_token"])).role == "guest"


async def test_without_a_spool_a_link_is_dropped_and_blocks_nothing(auth: Auth) -> None:
    await auth.register(ADA)
    assert (await auth.post("links", {"email": ADA})).status_code == 202
    await _deliver(auth)
    assert await auth.db.read(outbox.unsent, 10) == []
    assert await auth.count("dead_letters") == 0


async def test_a_disabled_account_gets_no_mail(open_auth: OpenAuth, tmp_path: Path) -> None:
    auth = await _open(open_auth, tmp_path)
    await auth.register(ADA)
    await auth.post("links", {"email": ADA})
    await auth.query("UPDATE customers_local SET disabled_at = now()")
    assert await _mailed(auth, tmp_path) == []


# --- Known devices ----------------------------------------------------------------------------


async def test_strangers_cannot_lock_an_owner_out_of_a_known_device(
    open_auth: OpenAuth,
) -> None:
    auth = await open_auth(**LIMITS)
    await auth.register(ADA)
    await auth.login(ADA)
    device = auth.browser.cookies["cinesync_device"]
    auth.forget_cookies()
    cafe = await open_auth(database_of=auth, client_address="203.0.113.5", **LIMITS)
    await _lock(cafe)  # from the address that the owner uses too
    for n in range(6):
        await cafe.login(f"somebody{n}@example.org", "wrong guess")
    assert (await cafe.login(ADA)).status_code == 429
    headers = {"Cookie": f"cinesync_device={device}"}
    assert (await cafe.login(ADA, headers=headers)).status_code == 200


async def test_failures_on_a_known_device_count_too(open_auth: OpenAuth) -> None:
    auth = await open_auth(**LIMITS)
    await auth.register(ADA)
    await auth.login(ADA)
    guesses = [(await auth.login(ADA, f"wrong guess {n}")).status_code for n in range(5)]
    assert guesses == [401, 401, 401, 429, 429]
    assert (await auth.login(ADA)).status_code == 429


@pytest.mark.parametrize("change", ["another account's", "made up", "cut", "old", "nonsense"])
async def test_only_a_recent_device_of_the_account_counts(open_auth: OpenAuth, change: str) -> None:
    days = "1" if change == "old" else "400"
    auth = await open_auth(**LIMITS, DEVICE_DAYS=days)
    await auth.register(ADA)
    await auth.register("bea@example.org")
    await auth.login("bea@example.org" if change == "another account's" else ADA)
    device = auth.browser.cookies["cinesync_device"]
    device_id, since, mac = device.split(".")
    changed = {
        "another account's": device,
        "made up": f"{device_id}.{int(since) + 1}.{mac}",
        "cut": device[:-1],
        "old": device,
        "nonsense": "ü",
    }[change]
    auth.forget_cookies()
    if change == "old":
        auth = await open_auth(database_of=auth, **LIMITS, DEVICE_DAYS=days)
        auth.authenticator._rules = replace(auth.authenticator._rules, device_lifetime=timedelta(0))
    stranger = await open_auth(database_of=auth, client_address="198.51.100.4", **LIMITS)
    for n in range(6):
        await stranger.login(f"somebody{n}@example.org", "wrong guess")
    auth.forget_cookies()
    headers = {"Cookie": f"cinesync_device={changed}".encode()}
    await _lock(auth)
    assert (await auth.login(ADA, headers=headers)).status_code == 429
