"""Whole or not at all."""

from pathlib import Path

import pytest

from cinesync.chassis import durable


def test_a_file_is_replaced_as_a_whole_and_is_its_owners(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    durable.write(file, b"old")
    (tmp_path / ".secret.unfinished").write_bytes(b"of a write that was killed")
    durable.write(file, b"new")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_a_folder_that_was_not_finished_never_has_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with pytest.raises(ZeroDivisionError), durable.made_whole(folder) as unfinished:
        (unfinished / "half").write_text(str(1 / 0))
    assert not folder.exists()
    with durable.made_whole(folder) as unfinished:
        (unfinished / "whole").touch()
    assert [path.name for path in folder.iterdir()] == ["whole"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_folder_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "kept").touch()
    with pytest.raises(OSError, match="not empty"), durable.made_whole(folder):
        pass
    assert (folder / "kept").exists()


def test_what_is_set_aside_replaces_nothing(tmp_path: Path) -> None:
    names = []
    for text in ("one", "two"):
        (tmp_path / "ledger").write_text(text)
        names.append(durable.set_aside(tmp_path / "ledger").name)
    assert names == ["ledger.set-aside-1", "ledger.set-aside-2"]
    assert (tmp_path / names[0]).read_text() == "one"
