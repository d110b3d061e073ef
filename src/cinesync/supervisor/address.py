"""Where a shop listens, and which ports are free."""

import socket
from contextlib import ExitStack
from dataclasses import dataclass

from cinesync.supervisor.errors import UpFailed


@dataclass(frozen=True, slots=True)
class Address:
    """Where the shop listens."""

    host: str
    port: int

    @property
    def reachable(self) -> str:
        """The host that a client on this machine connects to."""
        return "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104

    @property
    def url(self) -> str:
        """As a browser on this machine writes it."""
        host = f"[{self.reachable}]" if ":" in self.reachable else self.reachable
        return f"http://{host}:{self.port}"

    def answers(self) -> bool:
        """Whether somebody listens there now."""
        try:
            socket.create_connection((self.reachable, self.port), timeout=1).close()
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port nobody listens on at this moment."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Different ones: all are taken before any is given back."""
    with ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def check_port(address: Address) -> None:
    """Raises UpFailed when somebody listens there."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            raise UpFailed(
                f"Cannot listen on {address.host} port {address.port}: {error.strerror}."
                " Choose another with --port."
            ) from error
