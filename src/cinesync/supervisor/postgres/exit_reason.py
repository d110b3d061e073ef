"""Why a PostgreSQL server ended: its signal, and the last fatal error of its log."""

import re
import signal
from collections.abc import Sequence

from cinesync.supervisor.log_files import NO_OUTPUT

FATAL = re.compile(r"\b(FATAL|PANIC):")
ORDINARY = re.compile(r"\b(LOG|WARNING):")
SEVERITY = re.compile(r"^.*?\b[A-Z]+:\s+")


def exit_reason(lines: Sequence[str], status: int | None) -> str:
    """The signal that ended it, and the last fatal error with its hints; else the last line.

    After a SIGKILL the server logs nothing: an error that it logged before is not the reason.
    """
    fatal = [at for at, line in enumerate(lines) if FATAL.search(line)]
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        if -status == signal.SIGKILL or not fatal:
            return f"{name} ended it"
        return f"{name} ended it: {_message(lines[fatal[-1] :])}"
    if not fatal:
        return lines[-1] if lines else NO_OUTPUT
    return _message(lines[fatal[-1] :])


def _message(lines: Sequence[str]) -> str:
    kept = [line for line in lines if not ORDINARY.search(line)]
    return " ".join(SEVERITY.sub("", line).strip() for line in kept)
