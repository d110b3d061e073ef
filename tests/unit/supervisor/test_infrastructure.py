"""What an operator sets and the supervisor does not use is said, once."""

from pathlib import Path

import pytest

from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.infrastructure import Infrastructure, announce_ignored, announcer
from cinesync.supervisor.ports import ListenAddress


def built(tmp_path: Path, **environ: str) -> Infrastructure:
    return Infrastructure(DataFolder(tmp_path), ListenAddress("127.0.0.1", 1).url, environ)


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

    data_folder = DataFolder(tmp_path)
    data_folder.logs.mkdir()
    announcer(data_folder, gone)("PostgreSQL ended")
    assert '"text": "PostgreSQL ended"' in (data_folder.logs / "supervisor.log").read_text()


@pytest.mark.parametrize("name", ["LOG_BYTES_MAX", "LOG_FILES_MAX", "SUPERVISOR_METRICS_PORT"])
def test_a_wrong_setting_of_the_supervisor_is_refused_in_a_sentence(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(StartFailed, match=name):
        built(tmp_path, **{name: "many"})
