"""Only the owner of a shop may read its files, new and existing ones.

When the supervisor runs as root, PostgreSQL's group may traverse (not read) the folders above its
data (postgres/system_user.py).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UMASK = 0o077
OTHERS = 0o077


@contextmanager
def private() -> Iterator[None]:
    """Meanwhile, this process and its children create files for their owner only."""
    before = os.umask(UMASK)
    try:
        yield
    finally:
        os.umask(before)


def restrict_permissions(folder: Path, server: Path) -> None:
    """Remove the permissions of others that an earlier version left in `folder`.

    `server` is PostgreSQL's folder inside it, which protects its cluster and socket itself.
    """
    for path in _shop_files(folder, server):
        mode = path.lstat().st_mode
        if mode & OTHERS and not path.is_symlink():
            path.chmod(mode & 0o7777 & ~OTHERS)


def _shop_files(folder: Path, server: Path) -> Iterator[Path]:
    yield folder
    for path in folder.iterdir():
        yield path
        if path == server:
            yield from (file for file in path.iterdir() if file.is_file())
        elif path.is_dir() and not path.is_symlink():
            yield from path.rglob("*")
