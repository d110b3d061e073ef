"""No process is given a secret that it does not need."""

from importlib import import_module
from typing import get_type_hints

import pytest

from cinesync.chassis.settings import Secret
from cinesync.supervisor.environments import (
    NEEDED_BY,
    SERVICES,
    for_bank,
    for_services,
    for_validator,
)

EVERYTHING = {
    **dict.fromkeys(NEEDED_BY, "hidden"),
    "PATH": "/bin",
    "LOG_LEVEL": "INFO",
    "HOLD_SECONDS": "600",
    "BANK_LATE_SECONDS": "3",
}


@pytest.mark.parametrize("part", [*SERVICES, "web"])
def test_a_service_gets_the_secrets_it_needs_and_no_other(part: str) -> None:
    given = for_services(EVERYTHING, part)
    secrets = {name for name in given if name in NEEDED_BY}
    needed = {name for name, parts in NEEDED_BY.items() if part in parts}
    assert secrets == needed
    assert given["PATH"] == "/bin"
    assert given["HOLD_SECONDS"] == "600"
    others = {f"{service.upper()}_DATABASE_URL" for service in SERVICES if service != part}
    assert not others & given.keys()


def test_a_service_without_the_secret_key_gets_the_key_that_is_derived_from_it() -> None:
    environ = {"SECRET_KEY": "hidden", "PATH": "/bin"}
    given = for_services(environ, "movies")
    assert "SECRET_KEY" not in given
    assert "hidden" not in given["VISITOR_KEY"]
    assert "VISITOR_KEY" not in for_services(environ, "booking")


def test_the_bank_and_the_validators_get_what_is_theirs() -> None:
    assert for_bank(EVERYTHING) == {
        "PATH": "/bin",
        "LOG_LEVEL": "INFO",
        "BANK_SECRET": "hidden",
        "BANK_LATE_SECONDS": "3",
    }
    assert for_validator(EVERYTHING) == {"PATH": "/bin", "LOG_LEVEL": "INFO"}


@pytest.mark.parametrize("part", [*SERVICES, "web"])
def test_every_secret_setting_is_listed_with_its_readers(part: str) -> None:
    hints = get_type_hints(import_module(f"cinesync.{part}.app").Settings, include_extras=True)
    for name, hint in hints.items():
        if any(isinstance(note, Secret) for note in getattr(hint, "__metadata__", ())):
            is_replaced = name == "secret_key" and "visitor_key" in hints
            assert is_replaced or part in NEEDED_BY[name.upper()], name
