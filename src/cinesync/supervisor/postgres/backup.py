"""Takes a base backup of a running server, and verifies one."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cinesync.supervisor.postgres.server import POSTGRES_BIN_PATH, PostgresFailed

PROGRESS: Final = re.compile(rb"(\d+)/(\d+) kB")
KIB: Final = 1024


def base_backup(url: str, target: Path, progress: Callable[[int, int], None]) -> None:
    """All databases and the log up to the end of the backup, which is their consistent point.

    `progress` gets the bytes that are copied and their total. Raises PostgresFailed.
    """
    options = ("--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256")
    # Every user can read a command line; only this one can read an environment.
    before, _, place = url.partition("@")
    user, _, password = before.rpartition("/")[2].partition(":")
    command = [
        str(POSTGRES_BIN_PATH / "pg_basebackup"),
        f"--dbname=postgresql://{user}@{place}",
        f"--pgdata={target}",
        "--progress",
        "--no-password",
        *options,
    ]
    environ = {**os.environ, "PGPASSWORD": password}  # noqa: TID251 as a child inherits it
    output = b""
    with subprocess.Popen(  # noqa: S603 our own binary
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environ
    ) as running:
        assert running.stderr is not None
        while part := os.read(running.stderr.fileno(), 4096):
            output = (output + part)[-4096:]
            for done, total in PROGRESS.findall(part)[-1:]:
                progress(int(done) * KIB, int(total) * KIB)
    if running.returncode != 0:
        raise PostgresFailed(f"pg_basebackup: {_last_line(output)}")


def verify_backup(folder: Path) -> None:
    """Check all files by PostgreSQL's manifest, and the log for gaps. Raises PostgresFailed."""
    command = [str(POSTGRES_BIN_PATH / "pg_verifybackup"), "--quiet", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 our own binary
    if done.returncode != 0:
        raise PostgresFailed(f"pg_verifybackup: {_last_line(done.stderr or done.stdout)}")


def _last_line(output: bytes) -> str:
    lines = [line for line in re.split(r"[\r\n]+", output.decode(errors="replace")) if line.strip()]
    return lines[-1].strip() if lines else "it ended without output"
