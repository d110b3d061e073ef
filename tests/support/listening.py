"""Where processes listen, by what the operating system says (proc(5), `ss -ltnp`)."""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import NamedTuple

from cinesync.supervisor.managed_process import ManagedProcess

LISTEN = "0A"


class Socket(NamedTuple):
    """A listening TCP socket."""

    host: IPv4Address | IPv6Address
    port: int


def listening(pids: Iterable[int]) -> set[Socket]:
    """Of these processes and their children."""
    inodes = {inode for pid in pids for one in _family(pid) for inode in _inodes(one)}
    return {socket for table in ("tcp", "tcp6") for socket in _listening(table, inodes)}


def assert_on_this_machine_only(processes: Iterable[ManagedProcess | None], port: int) -> None:
    """Each of them listens, on loopback only; one of them on `port`."""
    ports = set()
    for process in processes:
        if process is None:
            continue
        found = listening([process.pid])
        assert found, f"{process.name} listens"
        assert all(one.host.is_loopback for one in found), f"{process.name}: {found}"
        ports |= {one.port for one in found}
    assert port in ports


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from _family(int(child))


def _inodes(pid: int) -> Iterator[str]:
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(file.readlink())
        except FileNotFoundError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _listening(table: str, inodes: set[str]) -> Iterator[Socket]:
    for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
        words = line.split()
        if words[3] == LISTEN and words[9] in inodes:
            host, _, port = words[1].partition(":")
            yield Socket(_address(host), int(port, 16))


def _address(text: str) -> IPv4Address | IPv6Address:
    """As the kernel prints it: words of 32 bits in the machine's own order."""
    words = [bytes.fromhex(text[at : at + 8])[::-1] for at in range(0, len(text), 8)]
    return ip_address(b"".join(words))
