"""Files and folders that exist completely or not at all, even after a power cut."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

UNFINISHED = ".unfinished"


def write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file: a reader, or a restart, sees the old one or the new one."""
    new = path.with_name(f".{path.name}{UNFINISHED}")
    with suppress(FileNotFoundError):
        new.unlink()  # of a write that was killed; its mode may be another's
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_folder(path.parent)


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when the block ends without an error.

    Deletes the unfinished folder of an earlier try that was killed. Raises OSError when something
    has the final name.
    """
    unfinished = folder.with_name(f".{folder.name}{UNFINISHED}")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700, parents=True)
    yield unfinished
    unfinished.rename(folder)  # also onto an empty folder, but onto nothing else
    sync_folder(folder.parent)


def set_aside(path: Path) -> Path:
    """Rename a file or folder to a free name, which is returned."""
    number = 1
    while (aside := path.with_name(f"{path.name}.set-aside-{number}")).exists():
        number += 1
    path.rename(aside)
    sync_folder(path.parent)
    return aside


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
