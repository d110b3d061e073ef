"""Validators on machines of their own: Linux network namespaces with a cable that can be cut.

A switch (a bridge in a namespace) joins the namespaces and this machine. Needs root and iproute2.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

IP = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")


def ip(*words: str) -> None:
    assert IP is not None
    subprocess.run([IP, *words], check=True, capture_output=True)


def available() -> bool:
    """Whether namespaces can be made here: containers often may not."""
    if IP is None or os.geteuid() != 0:
        return False
    name = f"cs{os.getpid()}probe"
    try:
        ip("netns", "add", name)
    except subprocess.CalledProcessError:
        return False
    ip("netns", "del", name)
    return True


class NetworkNamespaces:
    """`network` and the names are this process's own, so that several may run side by side."""

    def __init__(self) -> None:
        self._prefix = f"cs{os.getpid()}"
        self._network = f"198.18.{os.getpid() % 250}"  # RFC 2544: for tests of networks
        self.here = f"{self._network}.1"

    def address(self, machine: int) -> str:
        return f"{self._network}.{machine + 10}"

    def inside(self, machine: int) -> Sequence[str]:
        """What to put before a command for it to run on that machine."""
        assert IP is not None
        return (IP, "netns", "exec", self._name(machine))

    def disconnect(self, *machines: int) -> None:
        for machine in machines:
            ip("-n", self._name("s"), "link", "set", f"port{machine}", "down")

    def reconnect(self, *machines: int) -> None:
        for machine in machines:
            ip("-n", self._name("s"), "link", "set", f"port{machine}", "up")

    def create(self, machines: Sequence[int]) -> None:
        switch = self._name("s")
        ip("netns", "add", switch)
        ip("-n", switch, "link", "add", "switch", "type", "bridge")
        ip("-n", switch, "link", "set", "switch", "up")
        self._plug_in("here", self._prefix)
        ip("addr", "add", f"{self.here}/24", "dev", self._prefix)
        ip("link", "set", self._prefix, "up")
        for machine in machines:
            name, far = self._name(machine), f"{self._prefix}w"
            ip("netns", "add", name)
            self._plug_in(f"port{machine}", far)
            ip("link", "set", far, "netns", name, "name", "wire")
            ip("-n", name, "addr", "add", f"{self.address(machine)}/24", "dev", "wire")
            for device in ("lo", "wire"):
                ip("-n", name, "link", "set", device, "up")

    def _plug_in(self, port: str, far: str) -> None:
        """A cable with one end in the switch and the other one here."""
        near, switch = f"{self._prefix}p", self._name("s")
        ip("link", "add", near, "type", "veth", "peer", "name", far)
        ip("link", "set", near, "netns", switch, "name", port)
        ip("-n", switch, "link", "set", port, "master", "switch", "up")

    def _name(self, what: int | str) -> str:
        return f"{self._prefix}{what}"

    def remove(self, machines: Sequence[int]) -> None:
        """With a namespace go its ends of cables, and with them the others."""
        for name in (self._name("s"), *(self._name(machine) for machine in machines)):
            with suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)


@contextmanager
def namespaces(*machines: int) -> Iterator[NetworkNamespaces]:
    namespaces = NetworkNamespaces()
    try:
        namespaces.create(machines)
        yield namespaces
    finally:
        namespaces.remove(machines)
