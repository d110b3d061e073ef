"""No process runs with a secret that anybody can guess, and none repeats it."""

import asyncio

import pytest
from click.testing import CliRunner

from cinesync import bootstrap
from cinesync.chassis.settings import SettingsError
from cinesync.cli.main import main

WEAK = ["x", "short-one", "abab" * 10]
ENVIRON = {
    "DATABASE_URL": "postgresql://nobody@localhost/none",
    "API_URL": "http://127.0.0.1:1",
    "BOOKING_URL": "http://127.0.0.1:1",
    "BANK_URL": "http://127.0.0.1:1",
    "BANK_SECRET": "a secret that is as long as it has to be",
    "LEDGER_HOME": "/nonexistent",
}


@pytest.mark.parametrize("weak", WEAK)
@pytest.mark.parametrize("name", bootstrap.ALL)
def test_no_process_starts_with_a_weak_secret_key(name: str, weak: str) -> None:
    with pytest.raises(SettingsError, match="SECRET_KEY") as caught:
        asyncio.run(bootstrap.serve((name,), ENVIRON | {"SECRET_KEY": weak}))
    assert weak == "x" or weak not in str(caught.value)


@pytest.mark.parametrize("name", ["auth", "booking", "web"])
def test_what_signs_for_others_needs_its_secret(name: str) -> None:
    with pytest.raises(SettingsError, match="SECRET_KEY is not set"):
        asyncio.run(bootstrap.serve((name,), ENVIRON | {"SECRET_KEY": " "}))


@pytest.mark.parametrize("weak", ["", *WEAK])
def test_neither_bank_nor_payment_starts_with_a_weak_secret_between_them(
    weak: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsError, match="BANK_SECRET"):
        asyncio.run(bootstrap.serve(("payment",), ENVIRON | {"BANK_SECRET": weak}))
    monkeypatch.setenv("BANK_SECRET", weak)
    arguments = ["bank", "--port=1", "--data=/nonexistent/x", "--webhook-url=x"]
    refused = CliRunner().invoke(main, arguments)
    assert (refused.exit_code, "BANK_SECRET" in refused.output) == (1, True)


def test_the_list_of_settings_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "a secret that is as long as it has to be"
    monkeypatch.setenv("SECRET_KEY", secret)
    for arguments in (["settings"], ["settings", "--example"]):
        assert secret not in CliRunner().invoke(main, arguments).output
