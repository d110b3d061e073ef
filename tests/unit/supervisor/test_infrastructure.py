"""What an operator sets and the supervisor does not use is said, once."""

from pathlib import Path

import pytest

from cinesync.supervisor.address import Address
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.errors import UpFailed
from cinesync.supervisor.infrastructure import Infrastructure, announce_ignored, announcer


def built(tmp_path: Path, **environ: str) -> Infrastructure:
    return Infrastructure(DataFolder(tmp_path), Address("127.0.0.1", 1).url, environ)


def test_a_setting_that_up_does_not_use_is_told(tmp_path: Path) -> None:
    ignored = built(tmp_path, DATABASE_URL="postgresql://mine/db", LOG_LEVEL="DEBUG").ignored
    assert ignored == ["DATABASE_URL"]
    said: list[str] = []
    announce_ignored(ignored, said.append)
    assert said[0].startswith("DATABASE_URL of the environment: not used")


@pytest.mark.parametrize("value", ["", None])
def test_nothing_is_told_of_what_is_not_set(tmp_path: Path, value: str | None) -> None:
    environ = {} if value is None else {"DATABASE_URL": value, "SECRET_KEY": value}
    said: list[str] = []
    announce_ignored(built(tmp_path, **environ).ignored, said.append)
    assert said == []


def test_what_is_said_is_kept_and_a_terminal_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    def gone(_: str) -> None:
        raise BrokenPipeError

    home = DataFolder(tmp_path)
    home.logs.mkdir()
    announcer(home, gone)("PostgreSQL ended")
    assert '"text": "PostgreSQL ended"' in (home.logs / "supervisor.log").read_text()


@pytest.mark.parametrize("name", ["LOG_BYTES_MAX", "LOG_FILES_MAX", "SUPERVISOR_METRICS_PORT"])
def test_a_wrong_setting_of_the_supervisor_is_refused_in_a_sentence(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(UpFailed, match=name):
        built(tmp_path, **{name: "many"})
