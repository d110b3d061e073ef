"""Commands to a running supervisor: JSON lines over a socket in its data folder.

Only the folder's owner may enter it, and so send commands. One command runs at a time.
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
SOCKET_CHARS_MAX = 90  # a socket's address has 107 bytes at most
READ_SECONDS_MAX = 1.0
ANSWER_SECONDS_MAX = 600.0

# A command runs in steps: each yields a progress text, or None to wait for the next tick.
Steps = Iterator[str | None]
SupervisorCommand = Callable[[str, str], Steps]


class CommandFailed(Exception):
    """The command failed; the message says why."""


class ControlSocket:
    """The supervisor's end. Its loop calls `tick`, which never waits for long."""

    def __init__(self, folder: Path, command: SupervisorCommand) -> None:
        self.path = _socket_path(folder)
        self._command = command
        self._steps: Steps = iter(())
        self._client: socket.socket | None = None
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self.path.chmod(0o600)
        self._listener.listen()
        self._listener.settimeout(0)

    def tick(self) -> None:
        """Accept the next command, or run a step of the current one."""
        if self._client is None:
            with suppress(BlockingIOError):
                self._client, _ = self._listener.accept()
                self._steps = self._read_command()
            return
        try:
            step = next(self._steps)
        except StopIteration:
            self._finish(done=True)
        except CommandFailed as error:
            self._finish(error=str(error))
        else:
            if step is not None:
                self._send(said=step)

    def close(self) -> None:
        """Close the socket; a waiting client gets no result."""
        self._listener.close()
        self.path.unlink(missing_ok=True)
        if self._client is not None:
            self._client.close()

    def _read_command(self) -> Steps:
        """Raises CommandFailed."""
        assert self._client is not None
        self._client.settimeout(READ_SECONDS_MAX)
        try:
            request = json.loads(self._client.recv(LINE_BYTES_MAX))
            verb, name = str(request["do"]), str(request["to"])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CommandFailed(f"That was not a command: {error!r}") from error
        yield from self._command(verb, name)

    def _send(self, **message: object) -> None:
        assert self._client is not None
        with suppress(OSError):  # the client is gone; its command is finished all the same
            self._client.sendall(json.dumps(message).encode() + b"\n")

    def _finish(self, **message: object) -> None:
        self._send(**message)
        assert self._client is not None
        self._client.close()
        self._client = None


def send_command(path: Path, verb: str, name: str, say: Callable[[str], None]) -> None:
    """The client's end: returns when the command is done. Raises CommandFailed."""
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
