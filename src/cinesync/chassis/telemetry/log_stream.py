"""Where log lines go: a file descriptor that is written to without raising and without waiting.

A full disk (ENOSPC), a reader that is gone (EPIPE) or too slow (EAGAIN), a descriptor that is
closed (EBADF): the line is lost and counted, and whoever logged goes on.
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
    """What loggers take for a text file. One write a line, nothing kept back."""

    def __init__(self, descriptor: int = STDERR) -> None:
        self._descriptor = descriptor
        self._is_torn = False
        self._file = _file_of(descriptor)

    def write(self, text: str) -> int:
        """All of `text`, or what there is room for."""
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
        """Nothing is kept back."""

    def reopen(self) -> None:
        """Write to a new file of the same name, when somebody has moved the old one away.

        What writes past us to the same file, as the interpreter does at its end, follows.
        """
        if self._file is None:
            return
        try:
            fresh = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, FILE_MODE)
        except OSError:
            return  # better the old one than none
        for descriptor in {self._descriptor, STDOUT, STDERR}:
            if descriptor == self._descriptor or _file_of(descriptor) == self._file:
                os.dup2(fresh, descriptor)
        os.close(fresh)


def reopen_on_hangup(stream: LogStream) -> None:
    """SIGHUP, which ends a process that says nothing else, reopens its log."""
    signal.signal(signal.SIGHUP, lambda *_: stream.reopen())


def never_wait(descriptor: int = STDERR) -> None:
    """A pipe whose reader hangs must not stop who writes; a terminal is left as it is."""
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.set_blocking(descriptor, False)
    except OSError:
        return


def _file_of(descriptor: int) -> Path | None:
    """The regular file behind a descriptor, by the name it was opened under."""
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return Path(f"/proc/self/fd/{descriptor}").readlink()
    except OSError:
        return None
    return None
