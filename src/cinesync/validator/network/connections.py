"""Connections to the validators, as their set and their addresses change."""

import asyncio
from collections.abc import Callable, Iterable

from cinesync.chassis import telemetry
from cinesync.pbft.messages import Validator
from cinesync.validator.home import Home, NoHome, read_addresses
from cinesync.validator.network import transport
from cinesync.validator.network.transport import FrameKind, Outgoing

log = telemetry.get_logger(__name__)

ADDRESSES_SECONDS = 1.0

Receive = Callable[[int, FrameKind, bytes], None]


class Peers:
    """`receive` gets what a validator sends back; `hello` is what each connection begins with."""

    def __init__(self, home: Home, receive: Receive, hello: Callable[[], bytes]) -> None:
        self.context = transport.client_context(home.folder)
        self.links: dict[int, Outgoing] = {}
        self._home = home
        self._addresses = home.addresses
        self._receive = receive
        self._hello = hello
        self._validators: dict[int, Validator] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep the connections, until cancelled; look now and then whether somebody moved."""
        async with asyncio.TaskGroup() as self._group:
            for replica in self.links:
                self._start(replica)
            while True:
                await asyncio.sleep(ADDRESSES_SECONDS)
                self._look_for_addresses()

    def follow(self, validators: Iterable[Validator]) -> None:
        """Talk to these and to nobody else; of two with one number the last counts."""
        self._validators = {validator.replica: validator for validator in validators}
        self._arrange()

    def send(self, to: int, frame: bytes) -> None:
        """Lost when nobody is known there: the consensus asks again."""
        link = self.links.get(to)
        if link is not None:
            link.send(frame)

    def _look_for_addresses(self) -> None:
        try:
            addresses = read_addresses(self._home.folder)
        except NoHome as error:
            log.warning("ledger.no_addresses", error=str(error))
            return
        if addresses != self._addresses:
            self._addresses = addresses
            self._arrange()

    def _arrange(self) -> None:
        wanted = {
            replica: (self._addresses[replica], validator.public_key)
            for replica, validator in self._validators.items()
            if replica in self._addresses
        }
        for replica, link in list(self.links.items()):
            if wanted.get(replica) != (link.address, link.key):
                del self.links[replica]
                if replica in self._tasks:
                    self._tasks.pop(replica).cancel()
        for replica, (address, key) in wanted.items():
            if replica not in self.links:
                self.links[replica] = Outgoing(address, key, self.context, self._hello)
                self._start(replica)

    def _start(self, replica: int) -> None:
        if self._group is not None:
            link = self.links[replica]
            running = link.run(lambda kind, body: self._receive(replica, kind, body))
            self._tasks[replica] = self._group.create_task(running)
