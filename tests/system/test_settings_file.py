"""`.env.example`, loaded as it is, breaks nothing; nor do its lines with their values removed."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cinesync import bootstrap, operations
from cinesync.chassis.http.security.revocations import Revocations
from cinesync.validator import provisioning
from tests.support.shop import command

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / ".env.example"
NEEDED = {
    "PATH": "/usr/bin:/bin",
    "DATABASE_URL": "postgresql://nobody@/none?host=/no/such/folder",
    "SECRET_KEY": "0123456789abcdef0123456789abcdef",
    "BANK_SECRET": "fedcba9876543210fedcba9876543210",
    "API_URL": "http://127.0.0.1:1",
    "AUTH_URL": "http://127.0.0.1:1",
    "BOOKING_URL": "http://127.0.0.1:1",
    "BANK_URL": "http://127.0.0.1:1",
}


def load(text: str) -> dict[str, str]:
    """As a shell's `set -a; . ./.env` or systemd's EnvironmentFile."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def examples() -> Iterator[Mapping[str, str]]:
    text = EXAMPLE.read_text()
    yield load(text)
    names = re.findall(r"^#([A-Z_]+)=", text, re.MULTILINE)
    yield dict.fromkeys(names, "")  # set to nothing


def test_the_example_is_what_the_command_prints() -> None:
    assert EXAMPLE.read_text() == operations.env_example()


@pytest.mark.parametrize("example", list(examples()), ids=["as it is", "set to nothing"])
@pytest.mark.parametrize("service", bootstrap.ALL)
def test_each_service_is_built_with_the_example(
    service: str, example: Mapping[str, str], tmp_path: Path
) -> None:
    provisioning.init(tmp_path, ["127.0.0.1:1"] * 4)
    environ = {**example, **NEEDED, "LEDGER_HOME": str(provisioning.client_home(tmp_path))}
    if service == "web":
        bootstrap.create_pages(environ, Revocations())
    else:
        assert bootstrap.create_services([service], environ)


@pytest.mark.parametrize("example", list(examples()), ids=["as it is", "set to nothing"])
def test_a_command_with_the_example_looks_into_the_shop_in_data(
    example: Mapping[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        command("queues", "dead", "--data", str(tmp_path)),
        env={**example, "PATH": NEEDED["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "There is no shop in" in done.stderr
