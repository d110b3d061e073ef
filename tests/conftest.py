"""Real components for every test: PostgreSQL from the wheel, services in process, signed tokens."""

import itertools
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import hypothesis
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from litestar.types import ControllerRouterHandler

from cinesync.chassis import clock
from cinesync.chassis.database import Database, migrations, open_database
from cinesync.chassis.http.app import service_app
from cinesync.chassis.http.fast_path import FastPath, FastPaths
from cinesync.chassis.http.security import access_tokens
from cinesync.chassis.http.security.access_tokens import Verifier
from cinesync.supervisor.postgres import Postgres
from tests.support.shop import RunningShop

# Lints every statement that the tests run, and watches its transaction.
pytest_plugins = [
    "tests.support.portability.profile",
    "tests.support.coverage_floor",
    "tests.support.coverage_worker",
    "tests.support.early_end",
    "tests.support.filled",
]

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("cinesync", deadline=None)
hypothesis.settings.load_profile("cinesync")

# What `make test-fast` leaves out besides what is marked slow where it stands: whole processes, and
# services over real databases, but for those that hold the rules of seats and money.
SLOW_LEVELS = ("system", "security", "browser", "integration")
FAST_RULES = ("integration/booking", "integration/payment")

MakeDatabase = Callable[[str], Awaitable[Database]]
MakeClient = Callable[..., httpx.AsyncClient]
Sign = Callable[..., str]

_numbers = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    """Work out Unicode before coverage watches: five times as fast, and kept for later runs."""
    if hasattr(config, "workerinput"):
        with warnings.catch_warnings():
            # It thinks of runs that do without it; this is none.
            warnings.simplefilter("ignore", hypothesis.errors.HypothesisSideeffectWarning)
            hypothesis.strategies.text().validate()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow levels."""
    for item in items:
        place = item.path.relative_to(Path(__file__).parent).as_posix()
        if place.startswith(SLOW_LEVELS) and not place.startswith(FAST_RULES):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One server a test process; not durable, because no test of this process kills it."""
    # Not in pytest's own folder: every other run of pytest closes that to all but its owner again,
    # and PostgreSQL never runs as root.
    with tempfile.TemporaryDirectory(prefix="cinesync-tests-") as folder:
        server = Postgres(Path(folder), durable=False)
        server.start()
        yield server
        server.stop()


@pytest.fixture(scope="session")
def templates() -> set[str]:
    """The services whose migrated template database exists."""
    return set()


async def _admin(postgres: Postgres, statement: str) -> None:
    connection = await asyncpg.connect(postgres.url())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
async def make_database(postgres: Postgres, templates: set[str]) -> AsyncIterator[MakeDatabase]:
    """A fresh, migrated database of a service (or of a test's own package), from a template."""
    opened: list[Database] = []

    async def make(service: str) -> Database:
        package = service if "." in service else f"cinesync.{service}"
        template = f"template_{package.replace('.', '_')}"
        if package not in templates:
            await _admin(postgres, f"CREATE DATABASE {template}")
            db = open_database(postgres.url(template))
            await migrations.upgrade(db, f"{package}.migrations", "tests")
            await db.close()
            templates.add(package)
        name = f"{package.rpartition('.')[2]}_{next(_numbers)}"
        await _admin(postgres, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        opened.append(open_database(postgres.url(name)))
        return opened[-1]

    yield make
    for db in opened:
        await db.close()
        await _admin(postgres, f"DROP DATABASE {db.name} WITH (FORCE)")


@pytest.fixture(scope="session")
def signing_key() -> ECKey:
    """The key that the tests' verifier trusts."""
    return ECKey.generate_key("P-256", {"kid": "tests"})


@pytest.fixture
def verifier(signing_key: ECKey) -> Verifier:
    """Trusts `signing_key`, without a network."""

    async def fetch() -> dict[str, Any]:
        return {"keys": [signing_key.as_dict(private=False)]}

    return Verifier(fetch)


@pytest.fixture
def sign(signing_key: ECKey) -> Sign:
    """A bearer token for a customer."""

    def make(customer_id: UUID, role: str = "customer", seconds: int = 900) -> str:
        issued_at = int(clock.now().timestamp())
        claims = {
            "iss": access_tokens.ISSUER,
            "sub": str(customer_id),
            "role": role,
            "iat": issued_at,
            "exp": issued_at + seconds,
            "jti": str(clock.new_id()),
        }
        header = {"alg": access_tokens.ALGORITHM, "kid": "tests", "typ": access_tokens.TOKEN_TYPE}
        return jwt.encode(header, claims, signing_key, algorithms=[access_tokens.ALGORITHM])

    return make


@pytest.fixture
async def make_client(verifier: Verifier) -> AsyncIterator[MakeClient]:
    """A service's routes behind an HTTP client, in process."""
    clients: list[httpx.AsyncClient] = []

    def make(
        name: str, routes: list[ControllerRouterHandler], fast_paths: Sequence[FastPath] = ()
    ) -> httpx.AsyncClient:
        app = FastPaths(fast_paths, verifier, service_app(name, routes, verifier))
        transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
        clients.append(httpx.AsyncClient(transport=transport, base_url="http://test"))
        return clients[-1]

    yield make
    for client in clients:
        await client.aclose()


@pytest.fixture(scope="session")
def shop(filled: Path) -> Iterator[RunningShop]:
    """A whole shop, as `cinesync up` runs it, for tests that only buy and look."""
    running = RunningShop(filled, BANK_LATE_SECONDS="3").start()
    yield running
    running.stop()
