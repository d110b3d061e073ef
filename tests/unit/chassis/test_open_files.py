"""How many connections a process takes, by the files that it may have open."""

import resource
import subprocess
import sys

import pytest

from cinesync.chassis import open_files
from cinesync.chassis.settings import SettingsError


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """What the operating system allows, and lets be set."""
    limit = {"now": (1_024, 4_096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limit["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limit.update(now=wanted))
    return limit


def test_the_soft_limit_becomes_the_hard_one(files: dict[str, tuple[int, int]]) -> None:
    assert open_files.raise_limit() == 4_096
    assert files["now"] == (4_096, 4_096)
    assert open_files.raise_limit() == 4_096


@pytest.mark.parametrize(
    ("allowed", "connections", "streams"),
    [(1_024, 768, 384), (20_000, 16_384, 2_000), (300, 150, 75), (1_048_576, 16_384, 2_000)],
)
def test_connections_leave_files_for_everything_else_and_streams_for_buyers(
    files: dict[str, tuple[int, int]], allowed: int, connections: int, streams: int
) -> None:
    files["now"] = (allowed, allowed)
    assert open_files.connections_max() == connections
    assert open_files.streams_max(0, otherwise=2_000) == streams
    assert open_files.connections_max(connections - 1) == connections - 1
    assert open_files.streams_max(streams, otherwise=1) == streams


PROBE = """
import resource, click
from cinesync.cli.main import main
main.command("probe")(lambda: click.echo(resource.getrlimit(resource.RLIMIT_NOFILE)))
main(["probe"])
"""


def test_every_command_raises_the_limit() -> None:
    """Granian does so too when it is loaded; validators and the supervisor load none."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    done = subprocess.run(
        [sys.executable, "-c", PROBE],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard)),
    )
    assert done.stdout.strip() == f"({hard}, {hard})"


def test_more_than_open_files_allow_is_refused_with_what_to_do(
    files: dict[str, tuple[int, int]],
) -> None:
    with pytest.raises(SettingsError, match=r"CONNECTIONS_MAX=1000 .*4096.* set it to 768"):
        open_files.connections_max(1_000)
    with pytest.raises(SettingsError, match=r"LIVE_LISTENERS_MAX=500 .* set it to 384"):
        open_files.streams_max(500, otherwise=1)
