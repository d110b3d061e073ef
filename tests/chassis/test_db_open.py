"""How a database is opened from its URL, and what a client is told when it does not answer."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from cinesync.chassis import db as chassis_db
from cinesync.chassis import lease
from cinesync.chassis.db import (
    Contended,
    DatabaseAway,
    Transaction,
    _driver_url,
    forget_run_keys,
    open_database,
)
from tests.conftest import MakeDatabase

AWAY = "postgresql://nobody@/nothing?host=/no/such/folder"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "booking")])
    today = datetime(2026, 1, 1, tzinfo=UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today)
        .not_valid_after(today + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    certificate, secret = tmp_path / "booking.crt", tmp_path / "booking.key"
    certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return certificate, secret


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgres://a:b@h:1/d", "postgresql+asyncpg"),
        ("postgresql://a:b@h:1/d", "postgresql+asyncpg"),
        ("postgresql+psycopg://a:b@h:1/d", "postgresql+asyncpg"),
        ("cockroachdb://a:b@h:1/d", "cockroachdb+asyncpg"),
    ],
)
def test_every_spelling_of_a_url_gets_the_driver_we_use(url: str, driver: str) -> None:
    parsed, context = _driver_url(url)
    assert (parsed.drivername, parsed.host, parsed.database) == (driver, "h", "d")
    assert context is None


@pytest.mark.parametrize(
    ("sslmode", "with_ca", "checks_name", "verifies"),
    [
        ("require", False, False, ssl.CERT_NONE),
        ("require", True, False, ssl.CERT_REQUIRED),
        ("verify-ca", True, False, ssl.CERT_REQUIRED),
        ("verify-full", True, True, ssl.CERT_REQUIRED),
        ("verify-full", False, True, ssl.CERT_REQUIRED),
    ],
)
def test_each_tls_mode_checks_what_libpq_would(
    certificate: tuple[Path, Path],
    sslmode: str,
    with_ca: bool,  # noqa: FBT001 a parameter of the table above
    checks_name: bool,  # noqa: FBT001
    verifies: ssl.VerifyMode,
) -> None:
    ca, key = certificate
    url = f"postgresql://a@h/d?sslmode={sslmode}&sslcert={ca}&sslkey={key}&x=1"
    parsed, context = _driver_url(url + (f"&sslrootcert={ca}" if with_ca else ""))
    assert dict(parsed.query) == {"x": "1"}
    assert context is not None
    assert (context.check_hostname, context.verify_mode) == (checks_name, verifies)


def test_when_tls_is_asked_for_the_driver_gets_the_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[dict[str, object]] = []

    def engine(_: object, **options: dict[str, object]) -> AsyncEngine:
        seen.append(options["connect_args"])
        return create_async_engine("postgresql+asyncpg://")

    monkeypatch.setattr(chassis_db, "create_async_engine", engine)
    open_database("postgresql://a@h/d?sslmode=verify-full")
    open_database("postgresql://a@h/d")
    assert isinstance(seen[0]["ssl"], ssl.SSLContext)
    assert "ssl" not in seen[1]


async def test_a_server_that_is_away_is_said_to_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chassis_db, "RETRY_SECONDS_MAX", 0.05)
    db = open_database(AWAY)
    for call in (db.run, db.read):
        with pytest.raises(DatabaseAway) as caught:
            await call(forget_run_keys)
        assert caught.value.members == {"retry_after_seconds": 2}
    await db.close()


async def test_a_row_that_too_many_want_is_said_to_be_contended(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chassis_db, "RETRY_SECONDS_MAX", 0.05)
    db = await make_database("tests.chassis.toy")
    await lease.held(db, "relay", "a")
    held, done = asyncio.Event(), asyncio.Event()

    async def hold(tx: Transaction) -> None:
        await lease.take(tx, "relay", "a")
        held.set()
        await done.wait()

    async def want(tx: Transaction) -> bool:
        await tx.execute(text("SET LOCAL lock_timeout = 10"))
        return await lease.take(tx, "relay", "a")

    holding = asyncio.create_task(db.run(hold))
    await held.wait()
    with pytest.raises(Contended):
        await db.run(want)
    done.set()
    await holding


async def test_only_keys_that_nobody_can_be_retrying_are_forgotten(
    make_database: MakeDatabase,
) -> None:
    db = await make_database("tests.chassis.toy")

    async def count(tx: Transaction) -> int:
        return int((await tx.execute(text("SELECT count(*) FROM run_keys"))).scalar_one())

    async def age(tx: Transaction) -> None:
        await tx.execute(text("UPDATE run_keys SET ran_at = now() - interval '2 hours'"))

    await lease.held(db, "relay", "a")
    before = await db.read(count)
    await db.run(age)
    assert await db.run(forget_run_keys) >= before
    assert await db.read(count) == 1, "its own"
    assert await db.run(forget_run_keys) == 0


async def test_a_cancelled_command_leaves_nothing_behind_and_its_connection_is_usable(
    make_database: MakeDatabase,
) -> None:
    db = await make_database("tests.chassis.toy")
    begun = asyncio.Event()

    async def slow(tx: Transaction) -> None:
        await lease.take(tx, "relay", "cancelled")
        begun.set()
        await tx.execute(text("SELECT pg_sleep(60)"))

    for _ in range(10):  # more than the pool holds
        begun.clear()
        task = asyncio.create_task(db.run(slow))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await lease.held(db, "relay", "somebody else")
