"""PostgreSQL's own base backup: taken of a server that runs, and checked."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cinesync.supervisor.postgres import POSTGRES_BIN_PATH, PostgresFailed

PROGRESS: Final = re.compile(rb"(\d+)/(\d+) kB")
KIB: Final = 1024


def base_backup(url: str, target: Path, progress: Callable[[int, int], None]) -> None:
    """All databases, with the log up to the end of the backup: they are consistent there.

    `progress` is told bytes and how many there are. Raises PostgresFailed.
    """
    options = ("--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256")
    # A command line is everybody's to read, an environment is not.
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
    said = b""
    with subprocess.Popen(  # noqa: S603 our own binary
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environ
    ) as running:
        assert running.stderr is not None
        while part := os.read(running.stderr.fileno(), 4096):
            said = (said + part)[-4096:]
            for done, total in PROGRESS.findall(part)[-1:]:
                progress(int(done) * KIB, int(total) * KIB)
    if running.returncode != 0:
        raise PostgresFailed(f"pg_basebackup: {_last_line(said)}")


def verify_backup(folder: Path) -> None:
    """Every file against PostgreSQL's own manifest, and its log for gaps. Raises PostgresFailed."""
    command = [str(POSTGRES_BIN_PATH / "pg_verifybackup"), "--quiet", str(folder)]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 our own binary
    if done.returncode != 0:
        raise PostgresFailed(f"pg_verifybackup: {_last_line(done.stderr or done.stdout)}")


def _last_line(said: bytes) -> str:
    lines = [line for line in re.split(r"[\r\n]+", said.decode(errors="replace")) if line.strip()]
    return lines[-1].strip() if lines else "it ended without a word"
