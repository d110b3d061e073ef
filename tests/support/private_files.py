"""Which files of a shop others than its owner may read."""

import os
import pwd
import stat
from pathlib import Path

from cinesync.supervisor.postgres.system_user import SYSTEM_USER

OTHERS = 0o077


def readable_by_others(home: Path) -> list[str]:
    """Each with its mode. Root's PostgreSQL runs as its own user, whose group passes folders."""
    found = []
    for path in (home, *home.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink() or not mode & OTHERS:
            continue
        is_passed = os.geteuid() == 0 and mode & OTHERS == 0o010 and path.is_dir()
        if not (is_passed and path.stat().st_gid == pwd.getpwnam(SYSTEM_USER).pw_gid):
            found.append(f"{path.relative_to(home)} {mode:o}")
    return found
