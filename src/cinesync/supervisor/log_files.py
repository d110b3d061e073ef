"""The output of a shop's processes, as JSON lines in log files that rotate.

Each process writes stdout and stderr to a pipe of its own, from its first instruction to its last
traceback. A thread of the supervisor reads the pipe and appends to the file, so rotation and
reopening need no help of the process. Lines that are not JSON, as from PostgreSQL or a traceback,
become JSON. A full disk costs lines, never a process: what cannot be written is dropped and
counted, and the pipe is still read.
"""

import fcntl
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from cinesync.chassis.telemetry.log_retention import LogRetention

FILE_MODE = 0o600
PIPE_BYTES = 1 << 20
READ_BYTES = 1 << 16
LINE_BYTES_MAX = 1 << 16
NO_OUTPUT = "it ended without output"
# The reader of a busy process wakes some dozens of times a second, not for each line.
GATHER_SECONDS = 0.02
HOUR_SECONDS = 3600.0
SEVERITY = re.compile(
    r"^\S+ \S+ \S+ \[\d+\] (LOG|WARNING|ERROR|FATAL|PANIC|HINT|DETAIL):"
)  # PostgreSQL's
TRACEBACK = "Traceback (most recent call last)"
LEVELS = {"WARNING": "warning", "ERROR": "error", "FATAL": "critical", "PANIC": "critical"}


class LogFile:
    """An append-only file that rotates when it is too large or too old. Never raises."""

    def __init__(self, path: Path, retention: LogRetention) -> None:
        self.path = path
        self.lines_lost = 0
        self._retention = retention
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._size = 0
        self._began_at = 0.0
        self._is_partial = False
        self._must_reopen = False

    def write(self, lines: bytes) -> None:
        """Append whole lines."""
        with self._lock:
            try:
                self._prepare(len(lines))
                self._append(lines)
            except OSError:
                self.lines_lost += lines.count(b"\n")

    def reopen(self) -> None:
        """Open the file again before the next line: it was moved. Safe in a signal handler."""
        self._must_reopen = True

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        with self._lock:
            self._close()

    def _append(self, lines: bytes) -> None:
        assert self._descriptor is not None
        data = b"\n" + lines if self._is_partial else lines
        written = os.write(self._descriptor, data)
        self._size += written
        self._is_partial = written < len(data)
        if self._is_partial:
            self.lines_lost += data[written:].count(b"\n")

    def _prepare(self, size: int) -> None:
        if self._must_reopen:
            self._must_reopen = False
            self._close()
        if self._descriptor is None:
            self._open()
        is_large = self._size and self._size + size > self._retention.log_bytes_max
        age_seconds = time.time() - self._began_at
        if is_large or (self._size and age_seconds > self._retention.log_hours_max * HOUR_SECONDS):
            self._rotate()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, FILE_MODE)
        self._size = os.fstat(self._descriptor).st_size
        self._began_at = _first_time(self._descriptor) if self._size else time.time()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _rotate(self) -> None:
        """`a.log` becomes `a.log.1`, which becomes `a.log.2`, …; the oldest is deleted."""
        for number in range(self._retention.log_files_max - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._aside(number).rename(self._aside(number + 1))
        with suppress(FileNotFoundError):
            self.path.rename(self._aside(1))
        self._close()
        self._open()

    def _aside(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class ProcessOutput:
    """The output pipe of one process, and the thread that reads it."""

    def __init__(
        self, name: str, log: LogFile, on_text: Callable[[str], bool] = lambda _: False
    ) -> None:
        """`on_text` gets each line that is not JSON; True: do not log it."""
        self._name = name
        self._log = log
        self._on_text = on_text
        self._reader, self.writer = os.pipe()
        with suppress(OSError):
            fcntl.fcntl(self.writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._thread = threading.Thread(target=self._read, name=f"log {name}", daemon=True)

    def begin(self) -> None:
        """Start to read: the process has its end of the pipe."""
        os.close(self.writer)
        self._thread.start()

    def abandon(self) -> None:
        """Close the pipe of a process that could not be started."""
        os.close(self.writer)
        os.close(self._reader)

    def finish(self, seconds: float) -> None:
        """After the process has ended, wait until all of its output is written."""
        self._thread.join(seconds)

    def _read(self) -> None:
        rest = b""
        try:
            while data := os.read(self._reader, READ_BYTES):
                lines, newline, rest = (rest + data).rpartition(b"\n")
                if len(rest) > LINE_BYTES_MAX:
                    lines, newline, rest = lines + newline + rest, b"\n", b""
                if newline:
                    self._store(lines)
                time.sleep(GATHER_SECONDS)
            if rest:
                self._store(rest)
        finally:
            os.close(self._reader)

    def _store(self, lines: bytes) -> None:
        """Write these lines; an error does not stop the reader."""
        try:
            self._log.write(b"".join(self._as_json(lines)))
        except Exception:  # noqa: BLE001 without a reader the process would block
            self._log.lines_lost += 1

    def _as_json(self, lines: bytes) -> Iterator[bytes]:
        texts: list[str] = []  # of one traceback, or one start
        for line in lines.split(b"\n"):
            if line.startswith(b"{") and line.endswith(b"}"):
                yield from self._as_one_line(texts)
                texts = []
                yield line + b"\n"
            elif line.strip():
                text = line.decode(errors="replace")
                if not self._on_text(text.strip()):
                    texts.append(text)
        yield from self._as_one_line(texts)

    def _as_one_line(self, texts: list[str]) -> Iterator[bytes]:
        if texts:
            yield json_line("output", _level(texts), process=self._name, text="\n".join(texts))


def json_line(event: str, level: str, **fields: object) -> bytes:
    """A log line in the format of the services."""
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")  # noqa: TID251 chassis.clock loads asyncpg
    line = {"event": event, "level": level, "timestamp": now, **fields}
    return json.dumps(line, default=repr, ensure_ascii=False).encode(errors="replace") + b"\n"


def last_output(path: Path) -> str:
    """The last line of a log: the end of a traceback or an error."""
    return (last_lines(path) or [NO_OUTPUT])[-1]


def last_lines(path: Path) -> list[str]:
    """The last part of a log, as lines of text."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LINE_BYTES_MAX))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return []
    return [text for line in lines for text in _text_of(line).strip().splitlines()]


def _text_of(line: str) -> str:
    """The part of a JSON line that a person reads."""
    try:
        fields = json.loads(line)
        return str(fields.get("text") or fields.get("exception") or fields.get("event") or line)
    except (ValueError, AttributeError):
        return line


def _level(texts: list[str]) -> str:
    found = [match[1] for text in texts if (match := SEVERITY.match(text))]
    if not found:
        return "error" if any(TRACEBACK in text for text in texts) else "info"
    worst = [level for severity, level in LEVELS.items() if severity in found]
    return worst[-1] if worst else "info"


def _first_time(descriptor: int) -> float:
    """When the first line was written; without a timestamp, the file's last change."""
    try:
        first = os.pread(descriptor, LINE_BYTES_MAX, 0).partition(b"\n")[0]
        return datetime.fromisoformat(json.loads(first)["timestamp"]).timestamp()
    except (OSError, ValueError, KeyError, TypeError):
        return os.fstat(descriptor).st_mtime
