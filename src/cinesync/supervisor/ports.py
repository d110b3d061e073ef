"""The address a shop listens on, and free ports."""

import socket
from contextlib import ExitStack
from dataclasses import dataclass

from cinesync.supervisor.errors import StartFailed


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host and port to listen on."""

    host: str
    port: int

    @property
    def reachable(self) -> str:
        """The host that a client on this machine connects to."""
        return "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104

    @property
    def url(self) -> str:
        """The URL for a browser on this machine."""
        host = f"[{self.reachable}]" if ":" in self.reachable else self.reachable
        return f"http://{host}:{self.port}"

    def answers(self) -> bool:
        """Whether a process listens there now."""
        try:
            socket.create_connection((self.reachable, self.port), timeout=1).close()
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port that is free now."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ports that are free now."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def check_port(address: ListenAddress) -> None:
    """Raises StartFailed when the port is taken."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise StartFailed(
                f"Cannot listen on {address.host} port {address.port}: {error.strerror}."
                " Choose another with --port."
            ) from error
