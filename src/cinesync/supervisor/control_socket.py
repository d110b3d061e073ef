"""How other commands speak with a running supervisor: a socket in its data folder, lines of JSON.

Who may enter the folder may command: it is its owner's alone. One command at a time.
"""

import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

LINE_BYTES_MAX = 4096
SOCKET_CHARS_MAX = 90  # a socket's address has room for 107 bytes
ASK_SECONDS_MAX = 1.0
ANSWER_SECONDS_MAX = 600.0

# Does what it was asked in steps: a text is progress, None a moment's pause.
Steps = Iterator[str | None]
Command = Callable[[str, str], Steps]


class CommandFailed(Exception):
    """What was asked was not done; the message says why."""


class Control:
    """The supervisor's end. `tick` is called from its loop, and never waits for long."""

    def __init__(self, folder: Path, command: Command) -> None:
        self.path = _socket_path(folder)
        self._command = command
        self._steps: Steps = iter(())
        self._asker: socket.socket | None = None
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(str(self.path))
        self.path.chmod(0o600)
        self._door.listen()
        self._door.settimeout(0)

    def tick(self) -> None:
        """Hear the next command, or go on with the one under way."""
        if self._asker is None:
            with suppress(BlockingIOError):
                self._asker, _ = self._door.accept()
                self._steps = self._begin()
            return
        try:
            step = next(self._steps)
        except StopIteration:
            self._answer(done=True)
        except CommandFailed as error:
            self._answer(error=str(error))
        else:
            if step is not None:
                self._say(said=step)

    def close(self) -> None:
        """Whoever waits for an answer sees that there is none."""
        self._door.close()
        self.path.unlink(missing_ok=True)
        if self._asker is not None:
            self._asker.close()

    def _begin(self) -> Steps:
        """Raises CommandFailed."""
        assert self._asker is not None
        self._asker.settimeout(ASK_SECONDS_MAX)
        try:
            asked = json.loads(self._asker.recv(LINE_BYTES_MAX))
            verb, name = str(asked["do"]), str(asked["to"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CommandFailed(f"That was no command: {error!r}") from error
        yield from self._command(verb, name)

    def _say(self, **said: object) -> None:
        assert self._asker is not None
        with suppress(OSError):  # it went away; what it began is finished all the same
            self._asker.sendall(json.dumps(said).encode() + b"\n")

    def _answer(self, **said: object) -> None:
        self._say(**said)
        assert self._asker is not None
        self._asker.close()
        self._asker = None


def ask(path: Path, verb: str, name: str, say: Callable[[str], None]) -> None:
    """The other end: returns when it is done. Raises CommandFailed."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_SECONDS_MAX)
        try:
            line.connect(str(path))
            line.sendall(json.dumps({"do": verb, "to": name}).encode() + b"\n")
            answers = line.makefile("rb")
            for answer in map(json.loads, answers):
                if "said" not in answer:
                    break
                say(answer["said"])
            else:
                raise CommandFailed("The shop ended before it was done.")
        except OSError as error:
            raise CommandFailed(f"The shop's supervisor does not answer: {error}") from error
    if "error" in answer:
        raise CommandFailed(answer["error"])


def _socket_path(folder: Path) -> Path:
    path = folder / "control" / "socket"
    if len(os.fsencode(path)) <= SOCKET_CHARS_MAX:
        return path
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"cinesync-control-{os.getuid()}-{digest}" / "socket"
