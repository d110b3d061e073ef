"""A shop in bad hours: its database cannot be started, its terminal is gone, its logs are moved."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import asyncpg
import httpx
import pytest

from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.infrastructure import postgres_of
from cinesync.supervisor.postgres.leftovers import first_number, processes_in
from tests.support.eventually import eventually, wait_for
from tests.support.shop import UpProcess, copy_files, temporary_folder
from tests.system.test_crash import buy

pytestmark = [pytest.mark.slow, pytest.mark.no_cover, pytest.mark.xdist_group("operation")]

KILLS = 3
BUSY = "SELECT count(*) FROM generate_series(1, 100000000000) AS number WHERE number % 7 = 3"


@pytest.fixture(scope="module")
def up(filled: Path) -> Iterator[UpProcess]:
    folder = temporary_folder()
    copy_files(filled, folder)
    up = UpProcess(folder)
    up.client.sign_in_as_guest()
    yield up
    up.client.close()
    assert up.is_running()
    assert up.end(signal.SIGTERM) == 0
    shutil.rmtree(folder)


def data(up: UpProcess) -> Path:
    return up.folder / "postgres" / "data"


def is_ready(up: UpProcess) -> bool:
    return up.client._http.get("/health/ready").status_code == 200


def is_another(up: UpProcess, old_pid: int | None) -> bool:
    return first_number(data(up) / "postmaster.pid") not in {old_pid, None}


def kill_postgres(up: UpProcess) -> None:
    pid = first_number(data(up) / "postmaster.pid")
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def bought(up: UpProcess) -> bool:
    """A purchase from hold to booking."""
    return bool(
        up.client.confirmed(buy(up.client.sign_in_as_guest(), up.client.a_show()["show_id"]))
    )


async def is_running(up: UpProcess) -> bool:
    """Whether the server executes the query."""
    connection = await asyncpg.connect(postgres_of(DataFolder(up.folder)).url())
    try:
        found = await connection.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE query = $1 AND state = 'active'", BUSY
        )
        return bool(found)
    finally:
        await connection.close()


async def kill_while_busy(up: UpProcess) -> None:
    """The postmaster ends during a query that does not ask whether it lives."""
    connection = await asyncpg.connect(postgres_of(DataFolder(up.folder)).url())
    query = asyncio.create_task(connection.fetchval(BUSY))
    await eventually(partial(is_running, up))
    kill_postgres(up)
    await asyncio.gather(query, return_exceptions=True)
    connection.terminate()


async def test_a_database_killed_during_queries_comes_back_each_time(up: UpProcess) -> None:
    for _ in range(KILLS):
        pid = first_number(data(up) / "postmaster.pid")
        async with asyncio.timeout(60):
            await kill_while_busy(up)
        wait_for(partial(is_another, up, pid), "it is back")
        wait_for(lambda: is_ready(up), "the shop is ready")
    assert bought(up)


def test_a_shop_whose_database_cannot_start_responds_503(up: UpProcess) -> None:
    broken = data(up) / "postgresql.auto.conf"
    whole = broken.read_text()
    broken.write_text("no such setting\n")
    log = up.folder / "logs" / "supervisor.log"
    said = log.read_text()
    kill_postgres(up)
    wait_for(
        lambda: log.read_text()[len(said) :].count("PostgreSQL ended") >= 3, "three failed starts"
    )
    assert up.client._http.get("/health/ready").status_code == 503
    assert up.client._http.get("/health/live").status_code == 200
    assert up.is_running()
    broken.write_text(whole)
    wait_for(lambda: is_ready(up), "the shop is ready")
    assert bought(up)


def test_a_frozen_database_is_reported_in_time_and_used_again(up: UpProcess) -> None:
    """SIGSTOP: nobody refuses anything, and nobody answers."""
    frozen = processes_in(data(up))
    for process in frozen:
        os.kill(process, signal.SIGSTOP)
    try:
        body = {"email": "somebody@example.org"}
        answer = httpx.post(f"{up.url}/api/auth/guest", json=body, timeout=90)
        page = httpx.get(f"{up.url}/shows?theater=none", timeout=90)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert page.status_code < 600
        assert up.client._http.get("/health/live").status_code == 200
    finally:
        for process in frozen:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)
    wait_for(lambda: is_ready(up), "the shop is ready")
    assert bought(up)


def test_a_hangup_reopens_the_logs_and_ends_nothing(up: UpProcess) -> None:
    assert bought(up)
    logs = [*(up.folder / "logs").glob("*.log"), up.folder / "postgres" / "postgres.log"]
    moved = [log.rename(log.with_name(f"moved-{log.name}")) for log in logs]
    up.process.send_signal(signal.SIGHUP)
    shop = up.folder / "logs" / "shop.log"

    def is_written() -> bool:
        up.client.get("/api/movies/filters")
        return shop.exists()

    wait_for(is_written, "a new log")
    assert up.is_running()
    for log in [*moved, shop]:
        for line in log.read_text().splitlines():
            assert isinstance(json.loads(line), dict), f"{log}: {line}"
    _says_who_bought_what(moved)
    assert all(log.stat().st_mode & 0o077 == 0 for log in [*moved, shop])


def _says_who_bought_what(logs: Sequence[Path]) -> None:
    """A payment's line has its booking and its customer."""
    told = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    paid = [
        line
        for line in told
        if line.get("path") == "/api/payment/payments" and line.get("status") == 201
    ]
    assert paid
    assert all(line["payment_id"] and line["booking_id"] and line["actor"] for line in paid)
    handled = [line for line in told if line.get("queue") == "booking.payment.success"]
    assert all(line["payment_id"] and line["hold_id"] for line in handled)
