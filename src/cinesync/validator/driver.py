"""The driver of one validator: it persists, sends and applies what the replica is ready with.

Theory of operation. Frames that arrive in one turn of the event loop are stepped into the replica
one after the other. `_schedule` then runs `_process_ready` once for all of them: it writes the
records to the journal (one fsync), sends the frames and applies the decided blocks, in this order,
until the replica has nothing more. Timers tick in the same thread, so there are no locks.

An error of the disk, or a state that contradicts a quorum (`Diverged`), ends the validator: `run`
raises it, and the process exits. A supervisor starts it again; the journal has everything.
"""

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
from cinesync.validator.network.connections import ValidatorConnections
from cinesync.validator.network.query_api import QueryApi
from cinesync.validator.network.transport import FrameKind, Query, QueryResponse, SendQueue
from cinesync.validator.state_machine import OPERATIONS_MAX, LedgerStateMachine
from cinesync.validator.storage.chain_store import ChainStore
from cinesync.validator.storage.journal import is_damage, open_journal, set_aside

log = telemetry.get_logger(__name__)

TICK_SECONDS: Final = 0.05
COMMIT_TICKS: Final = 20  # between commits that make new blocks visible to other processes
PARAMETERS: Final = Parameters(timeout_ticks=16)
CONNECTIONS_PER_PEER_MAX: Final = 8


class LoopEnded(RuntimeError):
    """A loop of this validator ended without an error."""


class ValidatorDriver:
    """A replica with its disk and its connections. One per process."""

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
        self._queries = QueryApi(self.replica, self.ledger.chain)
        self._context = transport.server_context(home.folder)
        self._connections = ValidatorConnections(
            home,
            self._receive_from_validator,
            lambda: transport.hello(len(self.replica.core.links)),
        )
        self._incoming: dict[asyncio.StreamWriter, bytes] = {}
        self._clients: dict[str, list[SendQueue]] = defaultdict(list)
        self._is_scheduled = False
        self._failed: asyncio.Future[None] | None = None
        self._use_configurations()

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Run until cancelled. Raises what stops a validator: an error of the disk, Diverged, or
        LoopEnded: without one of its loops it would only seem to run."""
        self._failed = asyncio.get_running_loop().create_future()
        host, _, port = self.home.addresses[self.me].rpartition(":")
        server = await asyncio.start_server(self._accept, host, int(port), ssl=self._context)
        tasks = [asyncio.create_task(self._tick()), asyncio.create_task(self._connections.run())]
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

    # configurations

    def _use_configurations(self) -> None:
        """Connect to the validators in force and to the newest known, with the key for them."""
        core = self.replica.core
        self._configurations = core.configuration, core.newest
        members = [*core.configuration.validators, *core.newest.validators]
        self._connections.set_validators(one for one in members if one.replica != self.me)
        mine = core.newest.key(self.me) or core.configuration.key(self.me)
        if mine is not None:
            for context in (self._context, self._connections.context):
                transport.use_key(context, self.home.key_file(mine))
        for writer, key in self._incoming.items():
            if self._identify(key) is None:
                writer.transport.abort()
        where = {"epoch": core.configuration.epoch, "known": core.newest.epoch}
        log.info("ledger.validators", **where, member=core.member)

    # input

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            transport.set_tcp_timeouts(writer)
            key = transport.peer_key(writer)
            self._incoming[writer] = key
            sender = self._identify(key)
            if sender is not None:
                await self._serve(sender, reader, writer)
            else:
                await transport.send_links(reader, writer, self.replica.core.links)
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
            self._incoming.pop(writer, None)
            await transport.abort(writer)

    def _identify(self, key: bytes) -> int | str | None:
        for configuration in self._configurations:
            for validator in configuration.validators:
                if validator.public_key == key:
                    return validator.replica
            for client in configuration.clients:
                if client.public_key == key:
                    return client.name
        return None

    async def _serve(
        self, sender: int | str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        back = SendQueue()
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

    def _receive(self, sender: int | str, kind: FrameKind, body: bytes, back: SendQueue) -> None:
        if kind is FrameKind.CONSENSUS:
            if isinstance(sender, str):
                _check_request(body)
            self._run_or_fail(lambda: self.replica.step(sender, body, clock.microseconds()))
            self._schedule()
        elif kind is FrameKind.QUERY and isinstance(sender, str):
            query = msgspec.json.decode(body, type=Query)
            answer = QueryResponse(query.id, self._queries.answer(query))
            back.send(transport.pack(FrameKind.ANSWER, msgspec.json.encode(answer)))
        elif kind is FrameKind.HELLO:
            back.send(transport.links_since(body, self.replica.core.links))

    def _receive_from_validator(self, replica: int, kind: FrameKind, body: bytes) -> None:
        """Take links from an outgoing connection. Other frames arrive on incoming ones."""
        try:
            brings_links = kind is FrameKind.LINKS and isinstance(decode(body), EpochLinks)
        except MalformedMessage as error:
            raise transport.BadFrame(str(error)) from error
        if brings_links:
            self._run_or_fail(lambda: self.replica.step(replica, body, clock.microseconds()))
            self._schedule()

    async def _tick(self) -> None:
        for ticks in itertools.count(1):
            await asyncio.sleep(TICK_SECONDS)
            self._run_or_fail(lambda: self.replica.tick(clock.microseconds()))
            if ticks % COMMIT_TICKS == 0:
                self._run_or_fail(self.ledger.chain.commit)
            self._schedule()

    # output

    def _schedule(self) -> None:
        """Process once for all frames that arrive in one turn of the event loop: with one fsync."""
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._run_or_fail, self._process_ready)

    def _process_ready(self) -> None:
        self._is_scheduled = False
        while ready := self.replica.ready():
            self._journal.write(ready.records, replace=ready.replace)
            for send in ready.sends:
                self._send(send.to, transport.pack(FrameKind.CONSENSUS, send.frame))
            self.replica.advance(ready)
        if self._configurations != (self.replica.core.configuration, self.replica.core.newest):
            self._use_configurations()

    def _run_or_fail(self, work: Callable[[], None]) -> None:
        """Stop the validator on any error but a malformed frame."""
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
            self._connections.send(to, frame)
            return
        for client in self._clients[to]:
            client.send(frame)


def _check_request(body: bytes) -> None:
    """Refuse a request whose result does not fit a reply."""
    message = decode(body)
    if isinstance(message, Request) and len(message.operations) > OPERATIONS_MAX:
        raise MalformedMessage(f"more than {OPERATIONS_MAX} entries in a request")


def _open_chain(home: Home) -> ChainStore:
    """Open the chain; set a damaged one aside and start empty: peers have the blocks.

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
