"""One validator, driven: what arrives is stepped, then persisted, then sent, then applied."""

import asyncio
import itertools
import secrets
import sqlite3
import ssl
from collections import defaultdict
from collections.abc import Callable
from typing import Final

import msgspec

from cinesync.chassis import clock, telemetry
from cinesync.pbft.messages import EpochLinks, MalformedMessage, Request, decode
from cinesync.pbft.ports import Parameters
from cinesync.pbft.replica import Replica
from cinesync.proofs.keys import KeyRing
from cinesync.validator import provisioning
from cinesync.validator.home import Home
from cinesync.validator.network import transport
from cinesync.validator.network.connections import Peers
from cinesync.validator.network.query_api import QueryApi
from cinesync.validator.network.transport import FrameKind, Query, QueryResponse, Sender
from cinesync.validator.state_machine import OPERATIONS_MAX, LedgerStateMachine
from cinesync.validator.storage.chain_store import ChainStore
from cinesync.validator.storage.journal import is_damage, open_journal, set_aside

log = telemetry.get_logger(__name__)

TICK_SECONDS: Final = 0.05
COMMIT_TICKS: Final = 20  # how often others who open the chain's file see new blocks
PARAMETERS: Final = Parameters(timeout_ticks=16)
CONNECTIONS_PER_PEER_MAX: Final = 8


class LoopEnded(RuntimeError):
    """A loop of this validator ended without an error."""


class ValidatorDriver:
    """The replica of a home, its disk and its connections. One process runs one of these."""

    def __init__(self, home: Home, parameters: Parameters = PARAMETERS) -> None:
        self.home = home
        self.me = home.replica
        self._journal, records = open_journal(home.folder / provisioning.JOURNAL_FILE)
        self.ledger = LedgerStateMachine(home.genesis, _open_chain(home))
        self.replica = Replica(
            self.me,
            home.genesis.configuration,
            KeyRing([home.key], home.private_key),
            self.ledger,
            records,
            nonce=secrets.randbits(52),
            parameters=parameters,
        )
        self.ledger.configuration = lambda: self.replica.core.configuration
        self._desk = QueryApi(self.replica, self.ledger.chain)
        self._context = transport.server_context(home.folder)
        self._peers = Peers(home, self._hear, lambda: transport.hello(len(self.replica.core.links)))
        self._arrived: dict[asyncio.StreamWriter, bytes] = {}
        self._clients: dict[str, list[Sender]] = defaultdict(list)
        self._pumping = False
        self._failed: asyncio.Future[None] | None = None
        self._follow()

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Until cancelled. Raises what stops a validator: a disk that fails, Diverged, or the end
        of one of its loops, without which it would only seem to run."""
        self._failed = asyncio.get_running_loop().create_future()
        host, _, port = self.home.addresses[self.me].rpartition(":")
        server = await asyncio.start_server(self._accept, host, int(port), ssl=self._context)
        tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._peers.run())]
        for task in tasks:
            task.add_done_callback(self._loop_ended)
        self._schedule()
        on_ready()
        try:
            await self._failed
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            server.close()

    def _loop_ended(self, task: asyncio.Task[None]) -> None:
        assert self._failed is not None
        if not self._failed.done():
            error = None if task.cancelled() else task.exception()
            self._failed.set_exception(error or LoopEnded())

    def close(self) -> None:
        self._journal.close()
        self.ledger.chain.close()

    # who takes part

    def _follow(self) -> None:
        """A set is in force, or known, that was not: talk to its members, as a member of it."""
        core = self.replica.core
        self._following = core.configuration, core.newest
        members = [*core.configuration.validators, *core.newest.validators]
        self._peers.follow(one for one in members if one.replica != self.me)
        mine = core.newest.key(self.me) or core.configuration.key(self.me)
        if mine is not None:
            for context in (self._context, self._peers.context):
                transport.present(context, self.home.key_file(mine))
        for writer, key in self._arrived.items():
            if self._who(key) is None:
                writer.transport.abort()
        where = {"epoch": core.configuration.epoch, "known": core.newest.epoch}
        log.info("ledger.validators", **where, member=core.member)

    # what arrives

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            transport.make_impatient(writer)
            key = transport.peer_key(writer)
            self._arrived[writer] = key
            sender = self._who(key)
            if sender is not None:
                await self._listen(sender, reader, writer)
            else:
                await transport.tell_links(reader, writer, self.replica.core.links)
        except (
            transport.BadFrame,
            MalformedMessage,
            msgspec.DecodeError,
            ssl.SSLError,
            OSError,
        ) as error:
            log.warning("ledger.bad_peer", error=str(error))
        except asyncio.CancelledError:
            pass  # the validator stops
        finally:
            self._arrived.pop(writer, None)
            await transport.drop(writer)

    def _who(self, key: bytes) -> int | str | None:
        for configuration in self._following:
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
            async for kind, body in transport.frames(reader):
                self._receive(sender, kind, body, back)
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)
            if isinstance(sender, str) and back in self._clients[sender]:
                self._clients[sender].remove(back)

    def _receive(self, sender: int | str, kind: FrameKind, body: bytes, back: Sender) -> None:
        if kind is FrameKind.CONSENSUS:
            if isinstance(sender, str):
                _check_request(body)
            self._guarded(lambda: self.replica.step(sender, body, clock.microseconds()))
            self._schedule()
        elif kind is FrameKind.QUERY and isinstance(sender, str):
            query = msgspec.json.decode(body, type=Query)
            answer = QueryResponse(query.id, self._desk.answer(query))
            back.send(transport.pack(FrameKind.ANSWER, msgspec.json.encode(answer)))
        elif kind is FrameKind.HELLO:
            back.send(transport.links_since(body, self.replica.core.links))

    def _hear(self, replica: int, kind: FrameKind, body: bytes) -> None:
        """Validators answer each other over connections of their own, but for a hello."""
        try:
            brings_links = kind is FrameKind.LINKS and isinstance(decode(body), EpochLinks)
        except MalformedMessage as error:
            raise transport.BadFrame(str(error)) from error
        if brings_links:
            self._guarded(lambda: self.replica.step(replica, body, clock.microseconds()))
            self._schedule()

    async def _tick(self) -> None:
        for ticks in itertools.count(1):
            await asyncio.sleep(TICK_SECONDS)
            self._guarded(lambda: self.replica.tick(clock.microseconds()))
            if ticks % COMMIT_TICKS == 0:
                self._guarded(self.ledger.chain.commit)
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
                self._send(send.to, transport.pack(FrameKind.CONSENSUS, send.frame))
            self.replica.advance(ready)
        if self._following != (self.replica.core.configuration, self.replica.core.newest):
            self._follow()

    def _guarded(self, work: Callable[[], None]) -> None:
        """A disk that fails, or a state unlike the others', is the end of this validator."""
        assert self._failed is not None
        if self._failed.done():
            return
        try:
            work()
        except MalformedMessage:
            raise
        except Exception as error:  # noqa: BLE001 run() raises it
            self._failed.set_exception(error)

    def _send(self, to: int | str, frame: bytes) -> None:
        if isinstance(to, int):
            self._peers.send(to, frame)
            return
        for client in self._clients[to]:
            client.send(frame)


def _check_request(body: bytes) -> None:
    """A client's batch must have a result that fits a reply."""
    message = decode(body)
    if isinstance(message, Request) and len(message.operations) > OPERATIONS_MAX:
        raise MalformedMessage(f"more than {OPERATIONS_MAX} entries in a request")


def _open_chain(home: Home) -> ChainStore:
    """What is damaged is fetched again from the others, and kept for whoever investigates.

    Raises sqlite3.Error when the disk fails.
    """
    path = home.folder / provisioning.CHAIN_FILE
    try:
        return ChainStore(path)
    except (sqlite3.DatabaseError, AssertionError, ValueError) as error:
        if not is_damage(error):
            raise
        log.error("ledger.chain_damaged", error=str(error))  # noqa: TRY400 no traceback needed
        set_aside(path)
        return ChainStore(path)
