"""Nobody signs in with a password that they read somewhere, and none crosses a network in clear."""

import asyncio
import os
import subprocess
from pathlib import Path

import pytest

from cinesync.auth import staff, staff_store
from cinesync.auth.fields import fold_email
from cinesync.auth.staff import DEMO_ROLES, PUBLISHED_PASSWORD
from cinesync.bootstrap import environ_of
from cinesync.chassis.database import open_database
from cinesync.supervisor import demo
from cinesync.supervisor.embedded import shop_environ
from cinesync.supervisor.ports import ListenAddress, free_port
from tests.support.shop import RunningShop, command

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("shop")]


def _up(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`cinesync up` that is expected to refuse."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("COV_")}  # noqa: TID251
    return subprocess.run(
        command("up", f"--port={free_port()}", *arguments),
        capture_output=True,
        text=True,
        timeout=60,
        env=environ,
        check=False,
    )


def _publish(folder: Path) -> None:
    """Make it a folder of before: its demo accounts have the password that everybody knows."""

    async def seed(url: str) -> None:
        db = open_database(url)
        for email in DEMO_ROLES:
            account = await db.run_one(staff_store.find, fold_email(email))
            assert account is not None
            hashed = staff._hash(PUBLISHED_PASSWORD)
            await db.run(staff_store.set_password, account.customer_id, hashed)
        await db.close()

    with shop_environ(folder, {}) as settings:
        asyncio.run(seed(environ_of("auth", settings)["DATABASE_URL"]))
    (folder / demo.DEMO_FILE).unlink()


def test_a_shop_of_an_earlier_version_gets_new_passwords_at_its_next_start(filled: Path) -> None:
    shop = RunningShop(filled)
    _publish(shop.data_folder.path)
    shop.start()
    try:
        for email in DEMO_ROLES:
            body = {"email": email, "password": PUBLISHED_PASSWORD}
            answer = shop.client().call("POST", "/api/auth/login", json=body)
            assert answer.status_code == 401
        for role in ("staff", "manager", "auditor"):
            shop.member(role)
    finally:
        shop.stop()


def test_demo_accounts_and_plain_http_are_refused_beyond_this_machine(tmp_path: Path) -> None:
    plain = _up("--host=0.0.0.0", f"--data={tmp_path}")
    assert (plain.returncode, len(plain.stderr.strip().splitlines())) == (2, 1)
    assert "--behind-proxy" in plain.stderr
    assert not (tmp_path / "postgres").exists()
    demo.decide(tmp_path, demo.Exposure(ListenAddress("127.0.0.1", 8000)))
    shown = _up("--host=0.0.0.0", "--behind-proxy", f"--data={tmp_path}")
    assert shown.returncode == 2
    assert "cinesync staff disable --demo" in shown.stderr
