"""The manifest, and SQLite files that are copied while they grow."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from cinesync.backup import create, manifest, sqlite_copy, verify
from cinesync.backup.manifest import BackupFailed, Manifest


def quiet(_what: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def made(folder: Path) -> Manifest:
    return Manifest(
        format=manifest.FORMAT,
        version="1",
        postgres="18",
        started_at=1,
        point_at=2,
        chain="",
        head="",
        height=0,
        entries=0,
        files=manifest.describe(folder, quiet),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_text("abc")
    (tmp_path / "empty").touch()
    return tmp_path


def test_every_file_is_in_the_manifest_and_comes_back(folder: Path) -> None:
    kept = made(folder)
    manifest.write(folder, kept)
    assert (folder / manifest.FILE).stat().st_mode & 0o777 == 0o600
    assert manifest.read(folder) == kept
    assert kept.files.keys() == {"deep/file", "empty"}
    assert kept.bytes == 3
    assert list(verify.file_findings(folder, kept, quiet)) == []


def test_every_harm_to_a_file_is_named(folder: Path) -> None:
    kept = made(folder)
    (folder / "deep" / "file").write_text("abd")
    (folder / "empty").write_text("no")
    (folder / "more").touch()
    assert list(verify.file_findings(folder, kept, quiet)) == [
        "more is not in the manifest",
        "deep/file was altered",
        "empty has 2 bytes, not 0",
    ]
    (folder / "empty").unlink()
    (folder / "empty").symlink_to("deep/file")
    assert "empty is missing" in list(verify.file_findings(folder, kept, quiet))


def test_links_that_lead_elsewhere_are_not_backed_up(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(BackupFailed, match="symbolic link"):
        made(folder)


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside", "deep/../../outside"])
def test_a_manifest_that_names_files_outside_is_refused(folder: Path, name: str) -> None:
    kept = made(folder)
    kept.files[name] = manifest.StoredFile(0, "")
    manifest.write(folder, kept)
    with pytest.raises(BackupFailed, match="outside the backup"):
        manifest.read(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is not a manifest"), ("{}", "is not a manifest"), (None, "There is no backup")],
)
def test_what_is_no_manifest_is_refused(folder: Path, text: str | None, said: str) -> None:
    if text is not None:
        (folder / manifest.FILE).write_text(text)
    with pytest.raises(BackupFailed, match=said):
        manifest.read(folder)


def test_a_growing_file_is_copied_consistently(tmp_path: Path) -> None:
    """Each transaction writes two rows: a copy has both or none."""
    source, over = tmp_path / "source.sqlite", threading.Event()
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE rows (n INTEGER)")

    def write() -> None:
        with closing(sqlite3.connect(source, isolation_level=None)) as connection:
            number = 0
            while not over.is_set():
                connection.execute("BEGIN")
                connection.executemany("INSERT INTO rows VALUES (?)", [(number,), (number,)])
                connection.execute("COMMIT")
                number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for at in range(5):
            copied = tmp_path / f"copy-{at}.sqlite"
            sqlite_copy.copy(source, copied)
            assert sqlite_copy.integrity(copied) == "ok"
            with closing(sqlite_copy.connect(copied, immutable=True)) as connection:
                statement = (
                    "SELECT count(*) FROM (SELECT n FROM rows GROUP BY n HAVING count(*) <> 2)"
                )
                assert connection.execute(statement).fetchone() == (0,)
            assert copied.stat().st_mode & 0o777 == 0o600
    finally:
        over.set()
        writer.join()
    assert not list(tmp_path.glob("copy-*-wal"))


def test_a_failed_copy_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="is missing"):
        sqlite_copy.copy(tmp_path / "nowhere", tmp_path / "copy")
    (tmp_path / "text").write_text("no database at all" * 100)
    with pytest.raises(BackupFailed, match="cannot be copied"):
        sqlite_copy.copy(tmp_path / "text", tmp_path / "copy")
    assert sqlite_copy.integrity(tmp_path / "text") != "ok"


def test_a_file_that_vanishes_after_it_was_listed_is_not_counted(tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(b"123")
    (tmp_path / "vanished").symlink_to(tmp_path / "nothing")
    assert create._size(tmp_path) == create._size(tmp_path / "kept") == 3
    assert create._size(tmp_path / "nothing") == 0
