"""Who runs on a data folder, as other commands see it."""

from pathlib import Path

import pytest

from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.errors import UpFailed

FACTS = {"url": "http://127.0.0.1:8000"}


def test_a_running_shop_is_found_by_what_it_noted(tmp_path: Path) -> None:
    home = DataFolder(tmp_path)
    assert home.running() == {}
    with home.owned():
        home.note_running(FACTS)
        assert DataFolder(tmp_path).running() == FACTS
        with pytest.raises(UpFailed, match=r"already runs.*8000"), DataFolder(tmp_path).owned():
            pass
        assert home.running() == FACTS
    assert home.running() == {}


def test_what_a_killed_shop_has_noted_is_not_believed(tmp_path: Path) -> None:
    home = DataFolder(tmp_path)
    with home.owned():
        pass
    home.note_running(FACTS)  # nobody was left to take it away
    assert home.running() == {}
    with home.owned():
        assert home.running() == {}, "one that starts has not noted anything yet"
