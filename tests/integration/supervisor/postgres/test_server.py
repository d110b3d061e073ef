"""PostgreSQL from the wheel: started, found again after every kind of end, and safe to stop."""

import asyncio
import errno
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import asyncpg
import pytest

from cinesync.supervisor.postgres import (
    Postgres,
    PostgresFailed,
    exit_reason,
    leftovers,
    system_user,
)
from cinesync.supervisor.postgres import server as server_module
from tests.support.eventually import eventually, wait_for

PATIENCE_SECONDS = 60


async def ask(server: Postgres, statement: str) -> object:
    connection = await asyncpg.connect(server.url())
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def is_gone(pid: int) -> bool:
    """Whether the process has ended, reaped or not."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def until_gone(pid: int) -> None:
    wait_for(partial(is_gone, pid), f"process {pid} ends")


async def test_commits_survive_stop_and_kill(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "pg")
    server.start()
    try:
        await ask(server, "CREATE TABLE seats (seat TEXT)")
        await ask(server, "INSERT INTO seats VALUES ('F7')")
        server.stop()
        assert not server.is_running()
        server.stop()
        server.start()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        until_gone(server.pid)
        assert not server.is_running()
        # What the killed one left says "ready" under a number that is not the new server's.
        server.start()
        assert await ask(server, "SELECT seat FROM seats") == "F7"
        assert await ask(server, "SHOW fsync") == "on"
        assert await ask(server, "SHOW listen_addresses") == ""
    finally:
        server.stop()


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    """A folder with a cluster, and no server."""
    with tempfile.TemporaryDirectory(prefix="cinesync-tests-") as folder:
        server = Postgres(Path(folder), durable=False)
        server.start()
        server.stop()
        yield Path(folder)


async def test_the_server_ends_with_its_parent_even_when_that_is_killed(prepared: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from cinesync.supervisor.postgres import Postgres\n"
        "server = Postgres(Path(sys.argv[1]), durable=False); server.start()\n"
        "print(server.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(  # noqa: ASYNC220 nothing else runs
        [sys.executable, "-c", program, prepared], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert not is_gone(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until_gone(pid)


async def test_an_orphaned_server_is_stopped_first(prepared: Path) -> None:
    orphan, server = Postgres(prepared, durable=False), Postgres(prepared, durable=False)
    orphan.start()
    assert orphan.pid is not None
    server.start()
    try:
        until_gone(orphan.pid)
        assert await ask(server, "SELECT 1") == 1
    finally:
        server.stop()
        orphan.stop()


async def test_another_process_with_the_old_process_id_is_not_killed(prepared: Path) -> None:
    stranger = subprocess.Popen(  # noqa: ASYNC220 nothing else runs
        ["sleep", "600"], user=(prepared / "data").owner()
    )
    pid_file = prepared / "data" / "postmaster.pid"
    pid_file.write_text(f"{stranger.pid}\n{prepared / 'data'}\n1\n\n\n\n\nready\n")
    shutil.chown(pid_file, (prepared / "data").owner())
    server = Postgres(prepared, durable=False)
    try:
        server.start()
        assert await ask(server, "SELECT 1") == 1
        assert stranger.poll() is None
    finally:
        server.stop()
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("left", ["", "nonsense\n", "999999999\n"])
@pytest.mark.parametrize("name", ["data/postmaster.pid", "socket/.s.PGSQL.5432.lock"])
async def test_a_stale_lock_file_is_removed(prepared: Path, name: str, left: str) -> None:
    """As one that was written to a full disk: PostgreSQL would refuse to start for ever."""
    (prepared / name).write_text(left)
    server = Postgres(prepared, durable=False)
    try:
        server.start()
        assert await ask(server, "SELECT 1") == 1
    finally:
        server.stop()


async def test_a_socket_lock_with_the_id_of_another_process_is_removed(prepared: Path) -> None:
    stranger = subprocess.Popen(  # noqa: ASYNC220 nothing else runs
        ["sleep", "600"], user=(prepared / "data").owner()
    )
    (prepared / "socket" / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")
    server = Postgres(prepared, durable=False)
    try:
        server.start()
        assert stranger.poll() is None
    finally:
        server.stop()
        stranger.kill()
        stranger.wait()


BUSY = "SELECT count(*) FROM generate_series(1, 100000000000) AS number WHERE number % 7 = 3"


async def busy(server: Postgres) -> tuple[asyncpg.Connection, "asyncio.Task[object]"]:
    """A running query that does not check whether the postmaster is alive."""
    connection = await asyncpg.connect(server.url())
    query = asyncio.create_task(connection.fetchval(BUSY))
    running = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '% 7 = 3%' AND state = 'active'"
    )

    async def is_running() -> bool:
        return int(str(await ask(server, running))) == 2  # it and this one

    await eventually(is_running)
    return connection, query


async def test_a_kill_during_a_running_query_does_not_keep_a_server_from_starting(
    prepared: Path,
) -> None:
    server = Postgres(prepared, durable=False)
    try:
        for _ in range(3):
            server.start()
            connection, query = await busy(server)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            until_gone(server.pid)
            server.start()
            assert await ask(server, "SELECT 1") == 1
            connection.terminate()
            await asyncio.gather(query, return_exceptions=True)
            server.stop()
    finally:
        server.stop()


async def test_without_ending_what_is_left_a_server_does_not_start(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Postgres(prepared, durable=False)
    try:
        server.start()
        connection, query = await busy(server)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        until_gone(server.pid)
        monkeypatch.setattr(leftovers, "_end", lambda _: None)
        with pytest.raises(PostgresFailed, match=r"shared memory|Terminate any old server"):
            server.start()
        monkeypatch.undo()
        server.start()
        connection.terminate()
        await asyncio.gather(query, return_exceptions=True)
    finally:
        server.stop()


def test_a_configuration_is_whole_or_the_old_one(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = prepared / "data" / "postgresql.conf"
    before = file.read_text()

    def full(path: Path, text: str) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        Postgres(prepared, durable=True)._configure()
    monkeypatch.undo()
    assert file.read_text() == before


def test_a_failed_start_has_a_reason(tmp_path: Path) -> None:
    server = Postgres(tmp_path, durable=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("7")
    (tmp_path / "data" / "global").mkdir()
    (tmp_path / "data" / "global" / "pg_control").touch()
    told = r"^data directory .* has (wrong ownership|invalid permissions)|Permission denied"
    with pytest.raises(PostgresFailed, match=told):
        server.start()
    assert not server.is_running()


async def test_the_reason_of_a_kill_is_the_kill_and_no_older_error(
    prepared: Path,
) -> None:
    server = Postgres(prepared, durable=False)
    try:
        server.start()
        with pytest.raises(asyncpg.UndefinedTableError):
            await ask(server, "SELECT version_num FROM alembic_version")
        with pytest.raises(asyncpg.InvalidCatalogNameError):  # PostgreSQL logs it as FATAL
            await asyncpg.connect(server.url("nowhere"))
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        until_gone(server.pid)
        assert server.last_output() == "SIGKILL ended it"
    finally:
        server.stop()


async def test_the_reason_is_from_the_last_start(prepared: Path) -> None:
    server = Postgres(prepared, durable=False)
    try:
        server.start()
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(server.url("nowhere"))
        server.stop()
        server.start()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGINT)
        until_gone(server.pid)
        assert "nowhere" in server.log.path.read_text()
        assert server.last_output().endswith("database system is shut down")
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (1, "no room Free some."),
        (-signal.SIGABRT, "SIGABRT ended it: no room Free some."),
        (-signal.SIGKILL, "SIGKILL ended it"),
    ],
)
def test_a_fatal_error_is_the_cause_rather_than_what_came_after(status: int, reason: str) -> None:
    lines = ["x [1] PANIC:  no room", "x [1] HINT:  Free some.", "x [2] LOG:  shutting down"]
    assert exit_reason.exit_reason([*lines], status) == reason


def test_a_failed_initdb_has_a_reason(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "somebody's file").touch()
    with pytest.raises(PostgresFailed, match="not a complete PostgreSQL cluster"):
        Postgres(tmp_path).start()


def test_the_wait_for_a_server_has_a_limit(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "START_SECONDS_MAX", 0.0)
    server = Postgres(prepared, durable=False)
    with pytest.raises(PostgresFailed, match="not ready after 0 s"):
        server.start()
    server.stop()


def test_a_server_that_ignores_signals_is_killed(
    prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Postgres(prepared, durable=False)
    server.start()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    monkeypatch.setattr(server_module, "STOP_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(
        server_module,
        "STOP_SIGNALS",
        tuple((how, 0.3) for how, _ in server_module.STOP_SIGNALS[:-1])
        + server_module.STOP_SIGNALS[-1:],
    )
    server.stop()
    assert not Path(f"/proc/{pid}").exists()
    again = Postgres(prepared, durable=False)
    again.start()
    assert again.is_running()
    again.stop()


@pytest.mark.parametrize("name", ["x" * 120, "it's", "a,b", 'a"b'])
def test_a_path_that_cannot_hold_a_socket_gets_one_elsewhere(tmp_path: Path, name: str) -> None:
    server = Postgres(tmp_path / name)
    assert server._socket.name.startswith(f"cinesync-{os.getuid()}-")
    assert server._socket != Postgres(tmp_path / f"{name}2")._socket


def test_a_socket_folder_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Postgres(tmp_path)
    monkeypatch.setattr(Path, "owner", lambda _: "mallory")
    with pytest.raises(PostgresFailed, match="belongs to mallory"):
        server.start()


def test_without_root_postgresql_runs_as_we_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    server = Postgres(tmp_path)
    assert server._user is None
    assert server._identity() == {}


def test_as_root_a_system_user_is_made_when_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[list[str]] = []

    def missing(_: str) -> None:
        raise KeyError

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(system_user, "USER_LOCK", tmp_path / "lock")
    monkeypatch.setattr(pwd, "getpwnam", missing)
    monkeypatch.setattr(subprocess, "run", lambda command, **_: made.append(command))
    assert system_user.system_user() == system_user.SYSTEM_USER
    assert made[0][0] == "useradd"
    assert made[0][-1] == system_user.SYSTEM_USER


def test_simultaneous_starts_create_one_system_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`useradd` writes several files: who looks between them finds half a user."""
    made: list[str] = []

    def look(_: str) -> None:
        if not made:
            raise KeyError

    def slowly(command: list[str], **_: object) -> None:
        time.sleep(0.2)
        made.append(command[-1])

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(system_user, "USER_LOCK", tmp_path / "lock")
    monkeypatch.setattr(pwd, "getpwnam", look)
    monkeypatch.setattr(subprocess, "run", slowly)
    both = [threading.Thread(target=system_user.system_user) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert made == [system_user.SYSTEM_USER]
