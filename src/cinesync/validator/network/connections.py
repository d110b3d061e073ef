"""Connections to all validators, kept up to date as validators and addresses change."""

import asyncio
from collections.abc import Callable, Iterable

from cinesync.chassis import telemetry
from cinesync.pbft.messages import Validator
from cinesync.validator.home import Home, NoHome, read_addresses
from cinesync.validator.network import transport
from cinesync.validator.network.transport import FrameKind, ValidatorConnection

log = telemetry.get_logger(__name__)

ADDRESSES_SECONDS = 1.0

Receive = Callable[[int, FrameKind, bytes], None]


class ValidatorConnections:
    """`receive` gets the frames that validators send; `hello` makes the first frame to each."""

    def __init__(self, home: Home, receive: Receive, hello: Callable[[], bytes]) -> None:
        self.context = transport.client_context(home.folder)
        self.by_replica: dict[int, ValidatorConnection] = {}
        self._home = home
        self._addresses = home.addresses
        self._receive = receive
        self._hello = hello
        self._validators: dict[int, Validator] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Keep the connections until cancelled; reload the addresses every second."""
        async with asyncio.TaskGroup() as self._group:
            for replica in self.by_replica:
                self._start(replica)
            while True:
                await asyncio.sleep(ADDRESSES_SECONDS)
                self._reload_addresses()

    def set_validators(self, validators: Iterable[Validator]) -> None:
        """Connect to these validators and no others. Of two with one number the last counts."""
        self._validators = {validator.replica: validator for validator in validators}
        self._reconnect_changed()

    def send(self, to: int, frame: bytes) -> None:
        """Send a frame; drop it if the validator is unknown. Consensus resends."""
        connection = self.by_replica.get(to)
        if connection is not None:
            connection.send(frame)

    def _reload_addresses(self) -> None:
        try:
            addresses = read_addresses(self._home.folder)
        except NoHome as error:
            log.warning("ledger.no_addresses", error=str(error))
            return
        if addresses != self._addresses:
            self._addresses = addresses
            self._reconnect_changed()

    def _reconnect_changed(self) -> None:
        wanted = {
            replica: (self._addresses[replica], validator.public_key)
            for replica, validator in self._validators.items()
            if replica in self._addresses
        }
        for replica, connection in list(self.by_replica.items()):
            if wanted.get(replica) != (connection.address, connection.key):
                del self.by_replica[replica]
                if replica in self._tasks:
                    self._tasks.pop(replica).cancel()
        for replica, (address, key) in wanted.items():
            if replica not in self.by_replica:
                self.by_replica[replica] = ValidatorConnection(
                    address, key, self.context, self._hello
                )
                self._start(replica)

    def _start(self, replica: int) -> None:
        if self._group is not None:
            connection = self.by_replica[replica]
            running = connection.run(lambda kind, body: self._receive(replica, kind, body))
            self._tasks[replica] = self._group.create_task(running)
