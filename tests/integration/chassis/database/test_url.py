"""DATABASE_URL: every spelling, several hosts, the TLS that was asked for, and what is refused."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cinesync.chassis.database import Transaction, migrations, open_database, text
from cinesync.chassis.database.url import DatabaseUrlError, parse, unreachable, with_database
from cinesync.supervisor.postgres import Postgres
from tests.integration.chassis.toy.child import free_port


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
    parsed = parse(url)
    assert (parsed.url.drivername, parsed.url.host, parsed.url.database) == (driver, "h", "d")
    assert (parsed.url.username, parsed.url.password, parsed.url.port) == ("a", "b", 1)
    assert parsed.connect_args == {}


def test_a_socket_an_ipv6_address_and_a_password_of_any_characters_are_read() -> None:
    socket = parse("postgresql://postgres@/d?host=%2Ftmp%2Fa%20b")
    assert (socket.url.host, dict(socket.url.query)) == (None, {"host": "/tmp/a b"})
    assert parse("postgresql://a@[::1]:5433/d").url.port == 5433
    assert parse("postgresql://a@[::1]/d").url.host == "::1"
    assert parse("postgresql://a:p%40s%2Fs%3F@h/d").url.password == "p@s/s?"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a@h1:1,h2:2/d",
        "postgresql://a@/d?host=h1,h2&port=1,2",
        "postgresql://a@/d?host=h1:1&host=h2:2",
        "postgresql://a@h1,h2/d?port=1,2",
    ],
)
def test_several_hosts_are_read_however_they_are_written(url: str) -> None:
    parsed = parse(url)
    assert parsed.url.host is None
    assert parsed.connect_args == {
        "host": ["h1", "h2"],
        "port": [1, 2],
        "target_session_attrs": "read-write",
    }
    assert parsed.place == "h1:1, h2:2"


def test_which_of_several_hosts_is_wanted_can_be_said() -> None:
    parsed = parse("postgresql://a@h1,h2:5/d?target_session_attrs=primary&connect_timeout=3")
    assert parsed.connect_args == {
        "host": ["h1", "h2"],
        "port": [5432, 5],
        "target_session_attrs": "primary",
        "timeout": 3.0,
    }


def test_another_database_of_the_same_server_keeps_hosts_and_tls() -> None:
    url = "postgresql://a:b@h1:1,h2:2/one?sslmode=require"
    assert with_database(url, "two") == "postgresql://a:b@h1:1,h2:2/two?sslmode=require"
    assert with_database("postgresql://h", "two") == "postgresql://h/two"


@pytest.mark.parametrize(
    ("sslmode", "authority", "checks_name", "verifies"),
    [
        ("require", "", False, ssl.CERT_NONE),
        ("require", "own", False, ssl.CERT_REQUIRED),
        ("verify-ca", "own", False, ssl.CERT_REQUIRED),
        ("verify-full", "own", True, ssl.CERT_REQUIRED),
        ("verify-full", "system", True, ssl.CERT_REQUIRED),
    ],
)
def test_each_tls_mode_checks_what_libpq_would(
    certificate: tuple[Path, Path],
    sslmode: str,
    authority: str,
    checks_name: bool,  # noqa: FBT001 a parameter of the table above
    verifies: ssl.VerifyMode,
) -> None:
    ca, key = certificate
    url = f"postgresql://a@h/d?sslmode={sslmode}&sslcert={ca}&sslkey={key}"
    url += {"own": f"&sslrootcert={ca}", "system": "&sslrootcert=system", "": ""}[authority]
    context = cast("ssl.SSLContext", parse(url).connect_args["ssl"])
    assert (context.check_hostname, context.verify_mode) == (checks_name, verifies)


def test_disable_is_no_tls_and_no_mode_is_the_drivers_own() -> None:
    assert parse("postgresql://a@h/d?sslmode=disable").connect_args == {"ssl": False}
    assert "ssl" not in parse("postgresql://a@h/d").connect_args


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("sslmode=verifyfull", "sslmode=verifyfull is none of disable, require, verify-ca"),
        ("sslmode=VERIFY-FULL", "is none of"),
        ("sslmode=", "is none of"),
        ("sslmode=prefer", "verify-full \\(and sslrootcert\\) is safe"),
        ("sslmode=allow", "encrypts only when the server insists"),
        ("sslmode=verify-full", "needs sslrootcert"),
        ("sslmode=verify-ca", "needs sslrootcert"),
        ("sslmode=verify-ca&sslrootcert=system", "needs sslmode=verify-full"),
        ("sslrootcert=ca.pem", "sslrootcert without sslmode"),
        ("sslcert=a.pem&sslkey=a.key", "sslcert, sslkey without sslmode"),
        ("sslmode=disable&sslrootcert=ca.pem", "sslrootcert with sslmode=disable"),
        ("sslmode=require&sslkey=a.key", "sslkey without sslcert"),
        ("sslmode=verify-full&sslrootcert=/no/such/file", "/no/such/file"),
        ("ssl_mode=require", "there is no parameter ssl_mode"),
        ("ssl=true", "there is no parameter ssl;"),
        ("target_session_attrs=master", "master is none of"),
        ("connect_timeout=soon", "whole seconds"),
        ("host=a,b&port=1,2,3", "2 hosts and 3 ports"),
        ("host=a,,b", "is no host"),
        ("port=99999", "99999 is no port"),
    ],
)
def test_what_gives_less_than_was_meant_is_refused_with_a_sentence(
    query: str, sentence: str
) -> None:
    with pytest.raises(DatabaseUrlError, match=sentence) as caught:
        parse(f"postgresql://a:hidden-password@h/d?{query}")
    assert "hidden-password" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "h/d", "mysql://a@h/d", "postgresql://a@h:port/d"])
def test_what_is_no_url_of_ours_is_refused(url: str) -> None:
    with pytest.raises(DatabaseUrlError):
        parse(url)
    with pytest.raises(DatabaseUrlError):
        open_database(url)


async def test_of_several_hosts_the_one_that_writes_is_found(postgres: Postgres) -> None:
    host = postgres.url().partition("host=")[2]
    user = postgres.url().partition("//")[2].partition("@")[0]
    nobody = f"127.0.0.1:{free_port()}"
    db = open_database(f"postgresql://{user}@/postgres?host={nobody},{host}&port=,5432")

    async def is_there(tx: Transaction) -> int:
        return int((await tx.execute(text("SELECT 1"))).scalar_one())

    assert await db.read(is_there) == 1
    await db.close()


async def test_a_database_that_is_away_is_told_in_one_line(postgres: Postgres) -> None:
    port = free_port()
    trouble = await unreachable(f"postgresql://a:hidden-password@127.0.0.1:{port}/d")
    assert trouble is not None
    assert "\n" not in trouble
    assert f"127.0.0.1:{port}" in trouble
    assert "hidden-password" not in trouble
    assert await unreachable(postgres.url()) is None
    assert await unreachable(postgres.url("no_such_database")) is None, "its server is there"


async def test_one_that_takes_connections_and_says_nothing_is_told_too() -> None:
    done = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    trouble = await unreachable(f"postgresql://a@127.0.0.1:{port}/d?sslmode=disable", 0.2)
    done.set()
    server.close()
    assert trouble is not None
    assert "no answer within" in trouble


async def test_a_server_that_does_not_let_us_in_ends_the_start_with_a_sentence(
    postgres: Postgres,
) -> None:
    url = postgres.url().replace("postgres", "nobody_of_ours", 1).partition("//")[2]
    db = open_database(f"postgresql://nobody_of_ours@{url.partition('@')[2]}")
    with pytest.raises(DatabaseUrlError, match="refuses the login"):
        await migrations.create_if_missing(db)
    await db.close()
