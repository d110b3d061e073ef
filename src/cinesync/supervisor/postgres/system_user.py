"""The system user that PostgreSQL runs as when the supervisor runs as root.

PostgreSQL refuses to run as root.
"""

import fcntl
import os
import pwd
import subprocess
from pathlib import Path

SYSTEM_USER = "cinesync-postgres"
USER_LOCK = Path("/run/lock/cinesync-postgres-user")


def system_user() -> str | None:
    """The user for PostgreSQL, created on first use; None unless we are root.

    `useradd` writes its files one after the other. A lock keeps other processes from using a user
    that is half created.
    """
    if os.geteuid() != 0:
        return None
    with USER_LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin"]
            subprocess.run([*command, SYSTEM_USER], check=True, capture_output=True)  # noqa: S603
    return SYSTEM_USER


def allow_traversal(path: Path, group: int) -> None:
    """Let `group` traverse (not read) the folders above `path`. A folder whose own group has rights
    keeps that group, and lets everybody traverse."""
    for folder in path.parents:
        found = folder.stat()
        if found.st_mode & 0o001 or (found.st_gid == group and found.st_mode & 0o010):
            continue
        if found.st_mode & 0o070:
            folder.chmod(found.st_mode | 0o001)
        else:
            os.chown(folder, -1, group)
            folder.chmod(found.st_mode | 0o010)
