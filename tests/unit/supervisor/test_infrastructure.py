"""What an operator sets and the supervisor does not use is said, once."""

from pathlib import Path

import pytest

from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.infrastructure import Infrastructure, announce_ignored, announcer
from cinesync.supervisor.ports import ListenAddress


def built(tmp_path: Path, **environ: str) -> Infrastructure:
    return Infrastructure(DataFolder(tmp_path), ListenAddress("127.0.0.1", 1).url, environ)


def test_an_ignored_setting_is_reported(tmp_path: Path) -> None:
    ignored = built(tmp_path, DATABASE_URL="postgresql://mine/db", LOG_LEVEL="DEBUG").ignored
    assert ignored == ["DATABASE_URL"]
    said: list[str] = []
    announce_ignored(ignored, said.append)
    assert said[0].startswith("DATABASE_URL of the environment: not used")


@pytest.mark.parametrize("value", ["", None])
def test_unset_settings_are_not_reported(tmp_path: Path, value: str | None) -> None:
    environ = {} if value is None else {"DATABASE_URL": value, "SECRET_KEY": value}
    said: list[str] = []
    announce_ignored(built(tmp_path, **environ).ignored, said.append)
    assert said == []


def test_messages_are_logged_and_a_closed_terminal_is_no_error(tmp_path: Path) -> None:
    def gone(_: str) -> None:
        raise BrokenPipeError

    data_folder = DataFolder(tmp_path)
    data_folder.logs.mkdir()
    announcer(data_folder, gone)("PostgreSQL ended")
    assert '"text": "PostgreSQL ended"' in (data_folder.logs / "supervisor.log").read_text()


@pytest.mark.parametrize("name", ["LOG_BYTES_MAX", "LOG_FILES_MAX", "SUPERVISOR_METRICS_PORT"])
def test_a_wrong_supervisor_setting_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(StartFailed, match=name):
        built(tmp_path, **{name: "many"})
