"""One validator, driven: what arrives is stepped, then persisted, then sent, then applied."""

import asyncio
import secrets
import sqlite3
import ssl
from collections import defaultdict
from collections.abc import Callable
from typing import Final

import msgspec

from cinesync.chassis import clock, telemetry
from cinesync.ledger import founding, network
from cinesync.ledger.application import OPERATIONS_MAX, Ledger
from cinesync.ledger.chain import Chain
from cinesync.ledger.home import Home
from cinesync.ledger.journal import open_journal, set_aside
from cinesync.ledger.keys import KeyRing
from cinesync.ledger.network import Answer, Kind, Outgoing, Query, Sender
from cinesync.ledger.queries import Desk
from cinesync.pbft.messages import Refused, Request, decode
from cinesync.pbft.ports import Parameters
from cinesync.pbft.replica import Replica

log = telemetry.get_logger(__name__)

TICK_SECONDS: Final = 0.05
PARAMETERS: Final = Parameters(timeout_ticks=16)
CONNECTIONS_PER_PEER_MAX: Final = 8


class Replicator:
    """The replica of a home, its disk and its connections. One process runs one of these."""

    def __init__(self, home: Home, parameters: Parameters = PARAMETERS) -> None:
        self.home = home
        self.me = home.replica
        self._journal, records = open_journal(home.folder / founding.JOURNAL_FILE)
        self.ledger = Ledger(home.genesis, _open_chain(home))
        self.replica = Replica(
            self.me,
            home.genesis.configuration,
            KeyRing([home.key]),
            self.ledger,
            records,
            nonce=secrets.randbits(52),
            parameters=parameters,
        )
        self.ledger.configuration = lambda: self.replica.core.configuration
        self._desk = Desk(self.replica, self.ledger.chain)
        self._validators: dict[int, Outgoing] = {}
        self._clients: dict[str, list[Sender]] = defaultdict(list)
        self._pumping = False
        self._failed: asyncio.Future[None] | None = None

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Until cancelled. Raises what stops a validator: a disk that fails, or Diverged."""
        self._failed = asyncio.get_running_loop().create_future()
        host, _, port = self.home.addresses[self.me].rpartition(":")
        context = network.server_context(self.home.folder)
        server = await asyncio.start_server(self._accept, host, int(port), ssl=context)
        tasks = [asyncio.create_task(self._tick())]
        tasks += [asyncio.create_task(link.run(_ignore)) for link in self._connect()]
        self._schedule()
        on_ready()
        try:
            await self._failed
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            server.close()

    def close(self) -> None:
        self._journal.close()
        self.ledger.chain.close()

    def _connect(self) -> list[Outgoing]:
        context = network.client_context(self.home.folder)
        for replica, address in self.home.addresses.items():
            key = self.replica.core.configuration.key(replica)
            if replica != self.me and key is not None:
                self._validators[replica] = Outgoing(address, key, context)
        return list(self._validators.values())

    # what arrives

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            sender = self._who(network.peer_key(writer))
            if sender is not None:
                await self._listen(sender, reader, writer)
        except (network.BadFrame, Refused, msgspec.DecodeError, ssl.SSLError, OSError) as error:
            log.warning("ledger.bad_peer", error=str(error))
        except asyncio.CancelledError:
            pass  # the validator stops
        finally:
            await network.drop(writer)

    def _who(self, key: bytes) -> int | str | None:
        configuration = self.replica.core.configuration
        for validator in configuration.validators:
            if validator.public_key == key:
                return validator.replica
        for client in configuration.clients:
            if client.public_key == key:
                return client.name
        return None

    async def _listen(
        self, sender: int | str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        back = Sender()
        flushing = asyncio.create_task(back.flush_to(writer))
        if isinstance(sender, str):
            self._clients[sender] = [*self._clients[sender][1 - CONNECTIONS_PER_PEER_MAX :], back]
        try:
            async for kind, body in network.frames(reader):
                self._receive(sender, kind, body, back)
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
            if isinstance(sender, str) and back in self._clients[sender]:
                self._clients[sender].remove(back)

    def _receive(self, sender: int | str, kind: Kind, body: bytes, back: Sender) -> None:
        if kind is Kind.CONSENSUS:
            if isinstance(sender, str):
                _check_request(body)
            self._guarded(lambda: self.replica.step(sender, body, clock.microseconds()))
            self._schedule()
        elif kind is Kind.QUERY and isinstance(sender, str):
            query = msgspec.json.decode(body, type=Query)
            answer = Answer(query.id, self._desk.answer(query))
            back.send(network.pack(Kind.ANSWER, msgspec.json.encode(answer)))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._guarded(lambda: self.replica.tick(clock.microseconds()))
            self._schedule()

    # what follows

    def _schedule(self) -> None:
        """Once for all frames that arrive in one turn of the loop: one fsync for all of them."""
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._guarded, self._pump)

    def _pump(self) -> None:
        self._pumping = False
        while ready := self.replica.ready():
            self._journal.write(ready.records, replace=ready.replace)
            for send in ready.sends:
                self._send(send.to, network.pack(Kind.CONSENSUS, send.frame))
            self.replica.advance(ready)

    def _guarded(self, work: Callable[[], None]) -> None:
        """A disk that fails, or a state unlike the others', is the end of this validator."""
        assert self._failed is not None
        if self._failed.done():
            return
        try:
            work()
        except Refused:
            raise
        except Exception as error:  # noqa: BLE001 run() raises it
            self._failed.set_exception(error)

    def _send(self, to: int | str, frame: bytes) -> None:
        if isinstance(to, int):
            if to in self._validators:
                self._validators[to].send(frame)
            return
        for client in self._clients[to]:
            client.send(frame)


def _check_request(body: bytes) -> None:
    """A client's batch must have a result that fits a reply."""
    message = decode(body)
    if isinstance(message, Request) and len(message.operations) > OPERATIONS_MAX:
        raise Refused(f"more than {OPERATIONS_MAX} entries in a request")


def _open_chain(home: Home) -> Chain:
    """What cannot be read is fetched again from the others, and kept for whoever investigates."""
    path = home.folder / founding.CHAIN_FILE
    try:
        return Chain(path)
    except (sqlite3.DatabaseError, AssertionError, ValueError) as error:
        log.error("ledger.chain_damaged", error=str(error))  # noqa: TRY400 no traceback needed
        set_aside(path)
        return Chain(path)


def _ignore(_kind: Kind, _body: bytes) -> None:
    """Validators answer each other over connections of their own."""
