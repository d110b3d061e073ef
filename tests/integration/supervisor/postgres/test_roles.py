"""Each service has its own database in the shop's PostgreSQL, and no other."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from cinesync.supervisor.postgres import Postgres, PostgresFailed, backup
from cinesync.supervisor.postgres.roles import Roles, RolesFailed

SECRET = "a secret that only these tests know"
DATABASES = ("cinesync_auth", "cinesync_movies")


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cinesync-roles-") as made:
        yield Path(made) / "postgres"


def server(folder: Path, secret: str = SECRET) -> Postgres:
    return Postgres(folder, secret=secret, databases=DATABASES, durable=False)


@pytest.fixture
def running(folder: Path) -> Iterator[Postgres]:
    postgres = server(folder)
    postgres.start()
    yield postgres
    postgres.stop()


async def ask(url: str, statement: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def elsewhere(url: str, database: str) -> str:
    """The same role at another door."""
    before, _, after = url.rpartition("@/")
    return f"{before}@/{database}?{after.partition('?')[2]}"


async def test_a_service_owns_its_database_and_is_refused_in_every_other(running: Postgres) -> None:
    url = running.service_url("cinesync_auth")
    await ask(url, "CREATE TABLE t (a int)")
    assert await ask(url, "SELECT current_user || current_database()") == "cinesync_auth" * 2
    for database in ("cinesync_movies", "postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(elsewhere(url, database), "SELECT 1")
    for forbidden in ("CREATE ROLE thief", "CREATE DATABASE loot"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(url, forbidden)


async def test_every_role_needs_a_password(running: Postgres) -> None:
    for url in (running.url(), running.service_url("cinesync_auth")):
        user = url.partition("//")[2].partition(":")[0]
        place = url.rpartition("@")[2]
        assert await ask(url, "SELECT current_user") == user
        for password in ("", ":guess"):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await ask(f"postgresql://{user}{password}@{place}", "SELECT 1")


async def test_a_folder_of_an_earlier_version_becomes_the_roles_with_all_its_rows(
    folder: Path,
) -> None:
    old = Postgres(folder, durable=False)  # whoever enters the socket's folder was let in
    old.start()
    await ask(old.url(), "CREATE DATABASE cinesync_auth")
    await ask(old.url("cinesync_auth"), "CREATE TABLE kept (a int)")
    await ask(old.url("cinesync_auth"), "INSERT INTO kept VALUES (7)")
    old.stop()
    new = server(folder)
    new.start()
    try:
        url = new.service_url("cinesync_auth")
        assert await ask(url, "SELECT a FROM kept") == 7
        await ask(url, "ALTER TABLE kept ADD COLUMN b int")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await ask(old.url(), "SELECT 1")
    finally:
        new.stop()


async def test_roles_exist_once_and_again_with_another_secret(folder: Path) -> None:
    for secret in (SECRET, SECRET, "the secret of a shop it was restored for"):
        postgres = server(folder, secret)
        postgres.start()
        try:
            url = postgres.service_url("cinesync_movies")
            assert await ask(url, "SELECT current_user") == "cinesync_movies"
        finally:
            postgres.stop()


async def test_a_role_has_no_right_to_change_the_audit_log(running: Postgres) -> None:
    url = running.service_url("cinesync_auth")
    await ask(url, "CREATE TABLE audit_log (reason TEXT)")
    await ask(url, "REVOKE UPDATE, DELETE ON audit_log FROM CURRENT_USER")
    await ask(url, "INSERT INTO audit_log (reason) VALUES ('told')")
    for statement in ("UPDATE audit_log SET reason = 'x'", "DELETE FROM audit_log"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(url, statement)
    assert await ask(url, "SELECT reason FROM audit_log") == "told"


def test_a_statement_that_fails_stops_the_start_and_is_done_again(tmp_path: Path) -> None:
    roles = Roles(tmp_path, SECRET, DATABASES)
    with pytest.raises(RolesFailed, match="disk full"):
        roles.create(lambda *_: "2026 ERROR:  could not extend file: disk full")
    assert not roles.exist()
    ran: list[str] = []

    def run(database: str, _: str) -> str:
        ran.append(database)
        return 'ERROR:  role "x" already exists'

    roles.create(run)
    assert ran == ["postgres", *DATABASES]
    assert roles.exist()
    assert not Roles(tmp_path, "another", DATABASES).exist()


def test_roles_that_cannot_be_created_are_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RolesFailed("ERROR: no room")

    monkeypatch.setattr(Roles, "create", fail)
    with pytest.raises(PostgresFailed, match="no room"):
        server(folder).start()


async def test_a_base_backup_hides_the_password_and_has_all_roles(
    running: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(running.service_url("cinesync_auth"), "CREATE TABLE kept AS SELECT 7 AS a")
    started: list[list[str]] = []
    begin = subprocess.Popen

    def noted(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        started.append(command)
        return begin(command, **options)

    monkeypatch.setattr("cinesync.supervisor.postgres.backup.subprocess.Popen", noted)
    with tempfile.TemporaryDirectory(prefix="cinesync-copy-") as made:
        copy = Path(made) / "postgres"
        copy.mkdir()
        backup.base_backup(running.url(), copy / "data", lambda *_: None)
        password = running.url().partition("@")[0].rpartition(":")[2]
        assert password not in " ".join(started[0])
        restored = server(copy)
        restored.adopt()
        restored.start()
        try:
            assert await ask(restored.service_url("cinesync_auth"), "SELECT a FROM kept") == 7
        finally:
            restored.stop()
