"""Who runs on a data folder, as other commands see it."""

from pathlib import Path

import pytest

from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.errors import StartFailed

FACTS = {"url": "http://127.0.0.1:8000"}


def test_a_running_shop_is_found_by_what_it_noted(tmp_path: Path) -> None:
    data_folder = DataFolder(tmp_path)
    assert data_folder.running() == {}
    with data_folder.locked():
        data_folder.write_run_file(FACTS)
        assert DataFolder(tmp_path).running() == FACTS
        with pytest.raises(StartFailed, match=r"already runs.*8000"), DataFolder(tmp_path).locked():
            pass
        assert data_folder.running() == FACTS
    assert data_folder.running() == {}


def test_what_a_killed_shop_has_noted_is_not_believed(tmp_path: Path) -> None:
    data_folder = DataFolder(tmp_path)
    with data_folder.locked():
        pass
    data_folder.write_run_file(FACTS)  # nobody was left to take it away
    assert data_folder.running() == {}
    with data_folder.locked():
        assert data_folder.running() == {}, "one that starts has not noted anything yet"
