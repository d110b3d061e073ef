"""The ledger as its clients use it: submit entries, read with proofs, gather certificates."""

import asyncio
import itertools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from cinesync.chassis import background
from cinesync.pbft.client import PbftClient, RequestOutcome
from cinesync.pbft.execution import ACCEPTED
from cinesync.pbft.messages import (
    Attestation,
    Configuration,
    EpochLinks,
    MalformedMessage,
    PbftMessage,
    decode,
)
from cinesync.pbft.replica import Send
from cinesync.proofs import canonical_json, entries, headers, merkle_log, receipts, strict_json
from cinesync.proofs.epochs import Epochs
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.keys import KeyRing
from cinesync.proofs.receipts import HeaderCertificate, Receipt
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.validator.home import Home, keep_links, load_links
from cinesync.validator.network import transport
from cinesync.validator.network.connections import Peers
from cinesync.validator.network.transport import FrameKind, Query, QueryResponse, ValidatorStatus
from cinesync.validator.state_machine import OPERATIONS_MAX, places

TICK_SECONDS: Final = 0.025  # ten of them without an answer, and everybody is asked
ANSWER_SECONDS_MAX: Final = 2.0
CERTIFY_TRIES_MAX: Final = 20
CERTIFY_PAUSE_SECONDS: Final = 0.05
IN_FLIGHT_MAX: Final = 8
SEQUENCES_PER_MILLISECOND: Final = 1024
HELLO_TICKS: Final = 40  # how often to ask whether the validators have changed


def first_sequence(reserved: int, milliseconds: int) -> int:
    """Above all that this writer ever used, even if its database or its clock was set back."""
    return max(reserved, milliseconds * SEQUENCES_PER_MILLISECOND)


class NoQuorum(Exception):
    """Too few validators answer, or they do not agree."""


@dataclass(frozen=True)
class Appended:
    """Entries that are in the log for ever, each with its index."""

    height: int
    indices: Sequence[int]
    attestations: Sequence[Attestation] = ()  # unchecked words of validators for that height


class LedgerClient:
    """Reads at once; to write, first say where to `start_from`."""

    def __init__(self, home: Home) -> None:
        self.genesis: Genesis = home.genesis
        self.epochs = Epochs(home.genesis)
        self.epochs.learn(load_links(home.folder))
        self._folder = home.folder
        self._peers = Peers(home, self._receive, self._hello)
        self._validators = self._peers.links
        self.name = home.client
        self._keys = KeyRing([home.key])
        self._pbft = self._writer(1)
        self._peers.follow(self.configuration.validators)
        self._waiting: dict[int, asyncio.Future[RequestOutcome]] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._queries = 0
        self._room = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._primary: int | None = None

    async def run(self) -> None:
        """Keep the connections, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._peers.run())
            tasks.create_task(self._tick())

    def start_from(self, sequence: int) -> None:
        """Use this sequence and those above: nobody may have used any of them.

        What was asked for before and given up is forgotten: its sequences are too old now.
        """
        sequence = max(self._pbft.next_sequence, sequence)
        self._pbft = self._writer(sequence)

    def _writer(self, sequence: int) -> PbftClient:
        return PbftClient(self.name, self.configuration, self._keys, sequence, receipts=True)

    @property
    def configuration(self) -> Configuration:
        """Of the newest epoch that is proven to this client."""
        return self.epochs.newest

    @property
    def replicas(self) -> list[int]:
        return list(self._validators)

    @property
    def connected(self) -> int:
        return sum(link.connected for link in self._validators.values())

    def trouble(self) -> str | None:
        """Why entries wait; None while enough validators are connected."""
        if self.connected >= self.configuration.quorum:
            return None
        return f"{self.connected} of {len(self._validators)} answer; entries wait for more"

    def _receive(self, replica: int, kind: FrameKind, body: bytes) -> None:
        try:
            if kind is FrameKind.CONSENSUS:
                self._reply(replica, body)
            elif kind is FrameKind.ANSWER:
                self._answer(body)
            elif kind is FrameKind.LINKS:
                self._learn(decode(body))
        except (MalformedMessage, msgspec.DecodeError) as error:
            raise transport.BadFrame(str(error)) from error

    async def _tick(self) -> None:
        for ticks in itertools.count():
            await asyncio.sleep(TICK_SECONDS)
            late = self._pbft.tick()
            if late:
                self._primary = None
                self._send(late)
            if ticks % HELLO_TICKS == 0:
                background.succeeded()
            if late or ticks % HELLO_TICKS == 0:
                for link in self._validators.values():
                    link.send(self._hello())

    # who validates

    def _hello(self) -> bytes:
        return transport.hello(self.configuration.epoch)

    def _learn(self, message: PbftMessage) -> None:
        """Nobody is believed: a quorum of each set signed for the next."""
        if isinstance(message, EpochLinks) and self.epochs.learn(message.links):
            keep_links(self._folder, self.epochs.links)
            self._peers.follow(self.configuration.validators)
            self._primary = None
            self._send(self._pbft.use_configuration(self.configuration))

    # write

    async def submit(self, operations: Sequence[bytes]) -> Appended:
        """Once f + 1 validators say so: below a quorum that may take until there is one."""
        assert 1 <= len(operations) <= OPERATIONS_MAX
        async with self._room:
            while self._pbft.window_left <= 0:  # noqa: ASYNC110 ever rarer than a tick
                # One more, and the oldest that waits would be too old to be answered.
                await asyncio.sleep(TICK_SECONDS)
            outcome = await self._order(tuple(operations))
        if self._primary is None:
            await self._find_primary()
        return Appended(outcome.height, places(outcome.result), outcome.attestations)

    async def propose(self, wanted: Configuration) -> bool:
        """Whether the validators have ordered this change of themselves; it takes effect later."""
        outcome = await self._order((), wanted)
        return outcome.result == ACCEPTED

    async def _order(
        self, operations: tuple[bytes, ...], change: Configuration | None = None
    ) -> RequestOutcome:
        sequence = self._pbft.next_sequence
        future: asyncio.Future[RequestOutcome] = asyncio.get_running_loop().create_future()
        self._waiting[sequence] = future
        try:
            sends = self._pbft.submit(operations, change)
            self._send([send for send in sends if self._primary in {send.to, None}])
            return await future
        finally:
            self._waiting.pop(sequence, None)

    async def _find_primary(self) -> None:
        """It alone is asked first, which spares the others; whoever is wrong here is only slow."""
        told = [standing.primary for standing in (await self.standings()).values()]
        common = [one for one in told if told.count(one) >= self.configuration.quorum]
        self._primary = common[0] if common else None

    def _send(self, sends: Sequence[Send]) -> None:
        for send in sends:
            assert isinstance(send.to, int)
            self._peers.send(send.to, transport.pack(FrameKind.CONSENSUS, send.frame))

    def _reply(self, replica: int, body: bytes) -> None:
        outcome = self._pbft.step(replica, body)
        future = self._waiting.get(outcome.sequence) if outcome else None
        if future is not None and not future.done():
            future.set_result(outcome)  # type: ignore[arg-type]  # a future implies an outcome

    # read

    async def ask(
        self, replica: int, ask: str, first: int = 0, second: int = 0, name: str = ""
    ) -> Any:
        """One validator's word, unchecked. Raises TimeoutError."""
        if replica not in self._validators:
            raise TimeoutError  # it has left
        self._queries += 1
        query = Query(self._queries, ask, first, second, name)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[query.id] = future
        self._validators[replica].send(transport.pack(FrameKind.QUERY, msgspec.json.encode(query)))
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await future
        finally:
            del self._answers[query.id]

    async def ask_all(
        self, ask: str, first: int = 0, second: int = 0, name: str = ""
    ) -> dict[int, Any]:
        """Of those who answer."""
        replicas = [replica for replica, link in self._validators.items() if link.connected]
        asked = (self.ask(replica, ask, first, second, name) for replica in replicas)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return {
            replica: answer
            for replica, answer in zip(replicas, answers, strict=True)
            if not isinstance(answer, BaseException)
        }

    async def standings(self) -> dict[int, ValidatorStatus]:
        """Where each validator says it stands; of those who answer something that can be."""
        found = {}
        for replica, answer in (await self.ask_all("status")).items():
            with suppress(msgspec.ValidationError):
                found[replica] = msgspec.convert(answer, ValidatorStatus)
        return found

    def _answer(self, body: bytes) -> None:
        answer = msgspec.json.decode(body, type=QueryResponse)
        future = self._answers.get(answer.id)
        if future is not None and not future.done():
            future.set_result(answer.value)

    # read with proofs: what one validator says is checked, and the next one asked if it is wrong

    async def certify(self, height: int) -> tuple[BlockHeader, HeaderCertificate]:
        """A header near the top with a quorum's signatures. Raises NoQuorum."""
        for _ in range(CERTIFY_TRIES_MAX):
            header = await self.header(height)
            validators = self.epochs.of(header) if header is not None else None
            if header is not None and validators is not None:
                words = await self.ask_all("attestation", height)
                good = {at: w for at, w in words.items() if _attests(validators, header, at, w)}
                if len(good) >= validators.quorum:
                    signed = {at: bytes.fromhex(word["signature"]) for at, word in good.items()}
                    return header, HeaderCertificate(validators.epoch, signed)
            await asyncio.sleep(CERTIFY_PAUSE_SECONDS)
        raise NoQuorum(f"no certificate for height {height}")

    async def header(self, height: int) -> BlockHeader | None:
        """As f + 1 validators tell it; None: they have none, or do not agree yet."""
        found = await self.agreed("blocks", height - 1, 1)
        return headers.from_json(found[0], "header") if found else None

    async def agreed(self, ask: str, first: int = 0, second: int = 0, name: str = "") -> Any:
        """What f + 1 validators answer alike, hence at least an honest one; None: nothing."""
        told = []
        for answer in (await self.ask_all(ask, first, second, name)).values():
            with suppress(canonical_json.NotCanonical):
                told += [canonical_json.dump(answer)] if answer is not None else []
        alike = [one for one in told if told.count(one) >= self.configuration.weak_quorum]
        return canonical_json.load(alike[0]) if alike else None

    async def receipts(
        self, header: BlockHeader, certificate: HeaderCertificate, event_ids: Sequence[str]
    ) -> list[Receipt]:
        """Of entries in the log that a certified header covers. Raises NoQuorum."""
        made = (self._receipt(header, certificate, event_id) for event_id in event_ids)
        return list(await asyncio.gather(*made))

    async def _receipt(
        self, header: BlockHeader, certificate: HeaderCertificate, event_id: str
    ) -> Receipt:
        for replica in certificate.signatures:
            try:
                found = await self.ask(replica, "entry", name=event_id)
                index = strict_json.integer(found["index"], "index")
                path = await self.ask(replica, "inclusion", index, header.size)
                return self._check(header, certificate, found["entry"], index, path)
            except (InvalidDocument, TimeoutError, TypeError, ValueError, KeyError, AttributeError):
                continue
        raise NoQuorum(f"no validator proves event {event_id}")

    def _check(
        self,
        header: BlockHeader,
        certificate: HeaderCertificate,
        text: str,
        index: int,
        path: list[str],
    ) -> Receipt:
        receipt = Receipt(
            genesis=self.genesis,
            links=self.epochs.up_to(certificate.epoch),
            header=header,
            certificate=certificate,
            entry=entries.decode(text.encode()),
            index=index,
            path=[strict_json.hexadecimal(node, "path") for node in path],
        )
        return receipts.verify(receipt.encode(), self.genesis)

    async def consistency(self, older: BlockHeader, newer: BlockHeader) -> list[bytes]:
        """The checked proof that one log is the beginning of the other. Raises NoQuorum."""
        for replica in list(self._validators):
            try:
                told = await self.ask(replica, "consistency", older.size, newer.size)
                path = [strict_json.hexadecimal(node, "path") for node in told]
                merkle_log.verify_consistency(older.size, newer.size, older.root, newer.root, path)
            except (InvalidDocument, TimeoutError, TypeError, merkle_log.BadProof):
                continue
            return path
        raise NoQuorum(f"no validator proves that {older.size} begins {newer.size}")


def _attests(validators: Configuration, header: BlockHeader, replica: int, word: Any) -> bool:
    try:
        signature = bytes.fromhex(word["signature"])
    except (TypeError, ValueError, KeyError):
        return False
    return receipts.attests(validators, header, replica, signature)
