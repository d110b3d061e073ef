"""One mailbox has one account, in every form of its address; older accounts stay usable."""

from importlib import import_module
from typing import Any

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from cinesync.auth.fields import fold_email
from cinesync.chassis.database import migrations
from tests.integration.auth.conftest import PASSWORD, Auth

FORMS = [
    "Jürgen@Bücher.example",
    "ju\u0308rgen@bu\u0308cher.example",
    "JÜRGEN@xn--bcher-kva.example",
    "jürgen@XN--BCHER-KVA.EXAMPLE",
    "ｊürgen@bücher．example",
]


@pytest.mark.parametrize("form", FORMS[1:])
async def test_every_form_of_an_address_is_one_account(auth: Auth, form: str) -> None:
    assert (await auth.register(FORMS[0])).status_code == 201
    assert (await auth.register(form)).status_code == 409
    assert (await auth.login(form)).status_code == 200
    assert await auth.count("customers_local") == 1


async def _add_unmigrated(auth: Auth, address: str, password: str = PASSWORD) -> None:
    """An account from before migration 0003: its norm is its spelling."""
    answer = await auth.register("temporary@example.org", password=password)
    assert answer.status_code == 201
    spelling = fold_email(address).spelling
    for table in ("customer_emails", "customers_local"):
        await auth.query(
            f"UPDATE {table} SET email_norm = CAST(:spelling AS text)"
            " WHERE email_norm = 'temporary@example.org'",
            spelling=spelling,
        )


async def _migrate(auth: Auth) -> None:
    migration: Any = import_module("cinesync.auth.migrations.versions.0003_one_account_per_mailbox")

    def upgrade(connection: Connection) -> None:
        with Operations.context(MigrationContext.configure(connection)):
            migration.upgrade()

    async with migrations.connect(auth.db.url) as plain:
        await plain.run_sync(upgrade)


async def test_an_account_from_before_the_migration_is_found_by_every_form(auth: Auth) -> None:
    await _add_unmigrated(auth, FORMS[0])
    await _add_unmigrated(auth, "plain@example.org")
    await _migrate(auth)
    await _migrate(auth)
    for form in FORMS:
        assert (await auth.login(form)).status_code == 200
        assert (await auth.register(form)).status_code == 409
    assert (await auth.login("plain@example.org")).status_code == 200
    rows = await auth.query("SELECT email_norm FROM customers_local ORDER BY email_norm ASC")
    assert [row.email_norm for row in rows] == ["jürgen@xn--bcher-kva.example", "plain@example.org"]


async def test_two_accounts_with_one_new_norm_both_stay_usable(auth: Auth) -> None:
    await _add_unmigrated(auth, "jürgen@bücher.example", "the password of the first")
    await _add_unmigrated(auth, "jürgen@xn--bcher-kva.example", "the password of the second")
    await _migrate(auth)
    first = await auth.login("jürgen@bücher.example", "the password of the first")
    second = await auth.login("jürgen@xn--bcher-kva.example", "the password of the second")
    assert (first.status_code, second.status_code) == (200, 200)
    assert (await auth.register("JÜRGEN@bücher.example")).status_code == 409
    assert await auth.count("customer_emails") == 2


async def test_a_domain_that_idna_2008_forbids_has_one_account_too(auth: Auth) -> None:
    """Browsers still follow such names, so both forms are in use."""
    assert (await auth.register("ada@a--\u00fc.example")).status_code == 201
    assert (await auth.register("ada@xn--a---joa.example")).status_code == 409
    assert (await auth.login("ADA@XN--A---JOA.example")).status_code == 200
