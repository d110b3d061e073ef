"""The stream of log lines: writes to a file descriptor that neither raise nor wait.

A full disk (ENOSPC), a reader that is gone (EPIPE) or too slow (EAGAIN), a closed descriptor
(EBADF): the line is lost and counted, and the code that logged goes on.
"""

import os
import signal
import stat
from pathlib import Path

from prometheus_client import Counter

STDERR = 2
STDOUT = 1
FILE_MODE = 0o600

LINES_LOST = Counter("cinesync_log_lines_lost_total", "Log lines that could not be written.")


class LogStream:
    """A text file for loggers. Each line is one write; there is no buffer."""

    def __init__(self, descriptor: int = STDERR) -> None:
        self._descriptor = descriptor
        self._is_torn = False
        self._file = _file_of(descriptor)

    def write(self, text: str) -> int:
        """Write `text`, or as much as fits."""
        line = text.encode("utf-8", "backslashreplace")
        data = b"\n" + line if self._is_torn else line
        try:
            written = os.write(self._descriptor, data)
        except OSError:
            LINES_LOST.inc()
            return len(text)
        self._is_torn = written < len(data)
        if self._is_torn:  # the next line begins on a line of its own
            LINES_LOST.inc()
        return len(text)

    def flush(self) -> None:
        """There is no buffer."""

    def reopen(self) -> None:
        """Write to a new file of the same name, after the old one was moved.

        Other descriptors of the same file, which the interpreter uses at its end, follow.
        """
        if self._file is None:
            return
        try:
            fresh = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        except OSError:
            return  # the old one is better than none
        for descriptor in {self._descriptor, STDOUT, STDERR}:
            if descriptor == self._descriptor or _file_of(descriptor) == self._file:
                os.dup2(fresh, descriptor)
        os.close(fresh)


def reopen_on_hangup(stream: LogStream) -> None:
    """Make SIGHUP reopen the log; by default it ends a process."""
    signal.signal(signal.SIGHUP, lambda *_: stream.reopen())


def never_wait(descriptor: int = STDERR) -> None:
    """A pipe whose reader hangs then fails instead of waiting. A terminal stays as it is."""
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.set_blocking(descriptor, False)
    except OSError:
        return


def _file_of(descriptor: int) -> Path | None:
    """The regular file of a descriptor, by the name that it was opened with."""
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:
        return None
    return None
