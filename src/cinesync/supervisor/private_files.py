"""Files of a shop are its owner's alone: what is made from now on, and what is there already.

PostgreSQL never runs as root. There, the folders that lead to its data are open for its group to
pass, not to read (postgres.py); for nobody else.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UMASK = 0o077
OTHERS = 0o077


@contextmanager
def private() -> Iterator[None]:
    """Whatever this process and its children make meanwhile is its owner's alone."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def mend(folder: Path, server: Path) -> None:
    """Take from others what an earlier version let them have in `folder`.

    `server` is PostgreSQL's folder inside it, which keeps its own cluster and socket closed.
    """
    for path in _ours(folder, server):
        mode = path.lstat().st_mode
        if mode & OTHERS and not path.is_symlink():
            path.chmod(mode & 0o7777 & ~OTHERS)


def _ours(folder: Path, server: Path) -> Iterator[Path]:
    yield folder
    for path in folder.iterdir():
        yield path
        if path == server:
            yield from (file for file in path.iterdir() if file.is_file())
        elif path.is_dir() and not path.is_symlink():
            yield from path.rglob("*")
