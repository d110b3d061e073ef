"""What PostgreSQL itself could do: claims of seats and nothing else, on the shop's own server."""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import asyncpg

from bench.system import System

DATABASE = "bench_ceiling"
CLIENTS = 16
BATCH = 100
SINGLES_PER_SECOND_MAX = 40_000
BATCHED_PER_SECOND_MAX = 250_000
TABLE = """
CREATE TABLE booking_seats (region text, show_id uuid, seat text, booking_id uuid NOT NULL,
    state text NOT NULL, held_until timestamptz NOT NULL, PRIMARY KEY (region, show_id, seat))
"""
PGBENCH_SCRIPT = """
INSERT INTO booking_seats VALUES ('eu', gen_random_uuid(), 'A1', gen_random_uuid(), 'held', now());
"""
CLAIM = """
INSERT INTO booking_seats SELECT 'eu', t.show_id, 'A1', t.show_id, 'held', now()
FROM unnest($1::uuid[]) t(show_id) ON CONFLICT (region, show_id, seat) DO NOTHING
RETURNING seat
"""
FRESH_IDS = "SELECT array_agg(gen_random_uuid()) FROM generate_series(1, $1::int)"


@dataclass(frozen=True, slots=True)
class Load:
    """How long each loop."""

    seconds: float


QUICK = Load(seconds=1)
FULL = Load(seconds=4)


async def measure(system: System, load: Load) -> dict[str, Any]:
    """Single claims by pgbench when it is there, by asyncpg, and in batches of 100."""
    admin = await asyncpg.connect(system.server("postgres"))
    await admin.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
    await admin.execute(f"CREATE DATABASE {DATABASE}")
    url = system.server(DATABASE)
    connection = await asyncpg.connect(url)
    await connection.execute(TABLE)
    await connection.close()
    try:
        return {
            "pgbench_claims_per_second": await asyncio.to_thread(_pgbench, url, load.seconds),
            "single_claims_per_second": await _claims(url, load.seconds, 1),
            "batched_claims_per_second": await _claims(url, load.seconds, BATCH),
        }
    finally:
        await admin.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
        await admin.close()


def pgbench_path() -> str | None:
    """Debian keeps it beside the server's other programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"))
    return str(found[-1]) if found else shutil.which("pgbench")


def _pgbench(url: str, seconds: float) -> float | None:
    """None when it is not installed."""
    program = pgbench_path()
    if program is None:
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(PGBENCH_SCRIPT)
        script.flush()
        command = [program, "-n", "-M", "prepared", "-c", str(CLIENTS), "-j", "2"]
        command += ["-T", str(max(int(seconds), 1)), "-f", script.name, "-U", "postgres"]
        where = urlsplit(url)
        command += ["-h", parse_qs(where.query)["host"][0], DATABASE]
        environ = {**os.environ, "PGPASSWORD": where.password or ""}  # noqa: TID251 as a child inherits it
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environ)
    return tps(done.stdout)


def tps(output: str) -> float:
    """From what pgbench writes."""
    found = re.search(r"tps = ([\d.]+)", output)
    assert found, output
    return round(float(found[1]))


async def _claims(url: str, seconds: float, batch: int) -> float:
    """A loop of its own statements on each connection; each ends when the time is up."""
    connections = [await asyncpg.connect(url) for _ in range(CLIENTS if batch == 1 else 2)]
    most = SINGLES_PER_SECOND_MAX if batch == 1 else BATCHED_PER_SECOND_MAX
    ids = await connections[0].fetchval(FRESH_IDS, int(most * seconds))
    shares = [ids[number :: len(connections)] for number in range(len(connections))]
    began = time.perf_counter()
    work = [
        _claim(connection, share, batch, began + seconds)
        for connection, share in zip(connections, shares, strict=True)
    ]
    counts = await asyncio.gather(*work)
    rate = sum(counts) / (time.perf_counter() - began)
    for connection in connections:
        await connection.close()
    return round(rate)


async def _claim(
    connection: asyncpg.Connection, ids: Sequence[UUID], batch: int, deadline: float
) -> int:
    statement, done = await connection.prepare(CLAIM), 0
    while time.perf_counter() < deadline and done + batch <= len(ids):
        await statement.fetch(ids[done : done + batch])
        done += batch
    return done
