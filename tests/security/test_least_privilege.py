"""What a stolen file, process or password of a running shop opens: no more than its own."""

from pathlib import Path

import asyncpg
import pytest

from cinesync.supervisor.environments import DATABASE_URLS, NEEDED_BY, SERVICES
from tests.support.private_files import readable_by_others
from tests.support.shop import RunningShop

pytestmark = [pytest.mark.slow, pytest.mark.no_cover, pytest.mark.xdist_group("shop")]


def environ_of(pid: int) -> dict[str, str]:
    """As whoever may read the process's memory sees it."""
    raw = Path(f"/proc/{pid}/environ").read_bytes().decode()
    return dict(pair.partition("=")[::2] for pair in raw.split("\0") if pair)


def test_no_file_of_a_running_shop_is_anybody_elses(shop: RunningShop) -> None:
    assert readable_by_others(shop.data_folder.path) == []


def test_the_bank_and_the_validators_get_no_secret_of_the_shop(shop: RunningShop) -> None:
    assert shop.supervisor.bank is not None
    secrets = {name for name in NEEDED_BY if shop.supervisor.environ.get(name)}
    assert {"SECRET_KEY", "BANK_SECRET", *DATABASE_URLS.values()} <= secrets
    assert environ_of(shop.supervisor.bank.pid).keys() & secrets == {"BANK_SECRET"}
    for validator in shop.supervisor.validators:
        assert environ_of(validator.pid).keys() & secrets == set()


def test_the_shop_knows_no_superuser(shop: RunningShop) -> None:
    known = environ_of(shop.supervisor.shop.pid)  # type: ignore[union-attr]
    assert "DATABASE_URL" not in known
    password = shop.supervisor.postgres.url().partition("@")[0].rpartition(":")[2]
    assert password not in "".join(known.values())


async def test_each_service_may_enter_only_its_own_database(shop: RunningShop) -> None:
    for service in SERVICES:
        url = shop.supervisor.environ[DATABASE_URLS[service]]
        own = await asyncpg.connect(url)
        assert await own.fetchval("SELECT count(*) FROM outbox") >= 0
        assert not await own.fetchval(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner <> $1",
            f"cinesync_{service}",
        )
        await own.close()
        for other in (*SERVICES, "template1"):
            database = other if other == "template1" else f"cinesync_{other}"
            if other != service:
                elsewhere = url.replace(f"/cinesync_{service}?", f"/{database}?")
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await asyncpg.connect(elsewhere)


@pytest.mark.parametrize("service", ["auth", "movies", "booking", "payment"])
@pytest.mark.parametrize("statement", ["UPDATE audit_log SET reason = ''", "DELETE FROM audit_log"])
async def test_no_service_can_change_its_audit_log(
    shop: RunningShop, service: str, statement: str
) -> None:
    connection = await asyncpg.connect(shop.supervisor.environ[DATABASE_URLS[service]])
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()
