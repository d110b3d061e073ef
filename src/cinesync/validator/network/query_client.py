"""Reads from validators: one validator's answer, answers of f + 1, and answers with proofs.

A single validator may lie. So a caller either verifies the proof in the answer and tries the next
validator if it is wrong, or takes what f + 1 validators answer alike: one of them is honest.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from cinesync.pbft.messages import Configuration, EpochLinks, MalformedMessage, PbftMessage, decode
from cinesync.proofs import canonical_json, entries, headers, merkle_log, receipts, strict_json
from cinesync.proofs.epochs import Epochs
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.receipts import HeaderCertificate, Receipt
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.validator.home import Home, load_links, store_links
from cinesync.validator.network import transport
from cinesync.validator.network.connections import ValidatorConnections
from cinesync.validator.network.transport import FrameKind, Query, QueryResponse, ValidatorStatus

ANSWER_SECONDS_MAX: Final = 2.0
CERTIFY_TRIES_MAX: Final = 20
CERTIFY_PAUSE_SECONDS: Final = 0.05


class NoQuorum(Exception):
    """Too few validators answer, or they do not agree."""


class QueryClient:
    """Connections to the validators of the newest known epoch, and queries over them."""

    def __init__(self, home: Home) -> None:
        self.genesis: Genesis = home.genesis
        self.epochs = Epochs(home.genesis)
        self.epochs.learn(load_links(home.folder))
        self.name = home.client
        self._folder = home.folder
        self._connections = ValidatorConnections(home, self._receive, self._hello)
        self._validators = self._connections.by_replica
        self._connections.set_validators(self.configuration.validators)
        self._results: dict[int, asyncio.Future[Any]] = {}
        self._query_count = 0

    @property
    def configuration(self) -> Configuration:
        """Of the newest epoch that is proven to this client."""
        return self.epochs.newest

    @property
    def replicas(self) -> list[int]:
        return list(self._validators)

    @property
    def connected(self) -> int:
        return sum(connection.connected for connection in self._validators.values())

    def problem(self) -> str | None:
        """Why entries wait; None while enough validators are connected."""
        if self.connected >= self.configuration.quorum:
            return None
        return f"{self.connected} of {len(self._validators)} answer; entries wait for more"

    def _hello(self) -> bytes:
        return transport.hello(self.configuration.epoch)

    def _receive(self, replica: int, kind: FrameKind, body: bytes) -> None:
        try:
            if kind is FrameKind.CONSENSUS:
                self._receive_reply(replica, body)
            elif kind is FrameKind.ANSWER:
                self._receive_result(body)
            elif kind is FrameKind.LINKS:
                self._receive_links(decode(body))
        except (MalformedMessage, msgspec.DecodeError) as error:
            raise transport.BadFrame(str(error)) from error

    def _receive_reply(self, replica: int, body: bytes) -> None:
        """A reply to a request; only a client that writes sends requests."""

    def _receive_links(self, message: PbftMessage) -> None:
        """Learn newer epochs. A quorum of each configuration signed the next."""
        if isinstance(message, EpochLinks) and self.epochs.learn(message.links):
            store_links(self._folder, self.epochs.links)
            self._connections.set_validators(self.configuration.validators)
            self._on_new_epoch()

    def _on_new_epoch(self) -> None:
        """Called when the configuration has changed."""

    def _receive_result(self, body: bytes) -> None:
        response = msgspec.json.decode(body, type=QueryResponse)
        future = self._results.get(response.id)
        if future is not None and not future.done():
            future.set_result(response.value)

    # unverified

    async def query(
        self, replica: int, ask: str, first: int = 0, second: int = 0, name: str = ""
    ) -> Any:
        """One validator's answer, unverified. Raises TimeoutError."""
        if replica not in self._validators:
            raise TimeoutError  # it is no longer a validator
        self._query_count += 1
        query = Query(self._query_count, ask, first, second, name)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._results[query.id] = future
        self._validators[replica].send(transport.pack(FrameKind.QUERY, msgspec.json.encode(query)))
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await future
        finally:
            del self._results[query.id]

    async def query_all(
        self, ask: str, first: int = 0, second: int = 0, name: str = ""
    ) -> dict[int, Any]:
        """The answers of those connected validators that answer, unverified."""
        replicas = [replica for replica, one in self._validators.items() if one.connected]
        queries = (self.query(replica, ask, first, second, name) for replica in replicas)
        answers = await asyncio.gather(*queries, return_exceptions=True)
        return {
            replica: answer
            for replica, answer in zip(replicas, answers, strict=True)
            if not isinstance(answer, BaseException)
        }

    async def statuses(self) -> dict[int, ValidatorStatus]:
        """What each validator reports of itself; without those whose answer is malformed."""
        found = {}
        for replica, answer in (await self.query_all("status")).items():
            with suppress(msgspec.ValidationError):
                found[replica] = msgspec.convert(answer, ValidatorStatus)
        return found

    # f + 1 alike

    async def query_agreed(self, ask: str, first: int = 0, second: int = 0, name: str = "") -> Any:
        """The answer that f + 1 validators give alike, hence an honest one; None: there is none."""
        answers = []
        for answer in (await self.query_all(ask, first, second, name)).values():
            with suppress(canonical_json.NotCanonical):
                answers += [canonical_json.dump(answer)] if answer is not None else []
        needed = self.configuration.weak_quorum
        agreed = [one for one in answers if answers.count(one) >= needed]
        return canonical_json.load(agreed[0]) if agreed else None

    async def header(self, height: int) -> BlockHeader | None:
        """The header that f + 1 validators report; None: they have none, or do not agree yet."""
        found = await self.query_agreed("blocks", height - 1, 1)
        return headers.from_json(found[0], "header") if found else None

    # with proofs: verify one validator's answer, and try the next one if it is wrong

    async def certify(self, height: int) -> tuple[BlockHeader, HeaderCertificate]:
        """A recent header with the signatures of a quorum. Raises NoQuorum."""
        for _ in range(CERTIFY_TRIES_MAX):
            header = await self.header(height)
            validators = self.epochs.of(header) if header is not None else None
            if header is not None and validators is not None:
                answers = await self.query_all("attestation", height)
                good = {at: a for at, a in answers.items() if _attests(validators, header, at, a)}
                if len(good) >= validators.quorum:
                    signed = {at: bytes.fromhex(one["signature"]) for at, one in good.items()}
                    return header, HeaderCertificate(validators.epoch, signed)
            await asyncio.sleep(CERTIFY_PAUSE_SECONDS)
        raise NoQuorum(f"no certificate for height {height}")

    async def receipts(
        self, header: BlockHeader, certificate: HeaderCertificate, event_ids: Sequence[str]
    ) -> list[Receipt]:
        """Receipts of entries in the log that a certified header covers. Raises NoQuorum."""
        made = (self._receipt(header, certificate, event_id) for event_id in event_ids)
        return list(await asyncio.gather(*made))

    async def _receipt(
        self, header: BlockHeader, certificate: HeaderCertificate, event_id: str
    ) -> Receipt:
        for replica in certificate.signatures:
            try:
                found = await self.query(replica, "entry", name=event_id)
                index = strict_json.integer(found["index"], "index")
                path = await self.query(replica, "inclusion", index, header.size)
                return self._checked(header, certificate, found["entry"], index, path)
            except (InvalidDocument, TimeoutError, TypeError, ValueError, KeyError, AttributeError):
                continue
        raise NoQuorum(f"no validator proves event {event_id}")

    def _checked(
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
        """The verified proof that the older log is a prefix of the newer. Raises NoQuorum."""
        for replica in list(self._validators):
            try:
                found = await self.query(replica, "consistency", older.size, newer.size)
                path = [strict_json.hexadecimal(node, "path") for node in found]
                merkle_log.verify_consistency(older.size, newer.size, older.root, newer.root, path)
            except (InvalidDocument, TimeoutError, TypeError, merkle_log.BadProof):
                continue
            return path
        raise NoQuorum(f"no validator proves that {older.size} begins {newer.size}")


def _attests(validators: Configuration, header: BlockHeader, replica: int, answer: Any) -> bool:
    try:
        signature = bytes.fromhex(answer["signature"])
    except (TypeError, ValueError, KeyError):
        return False
    return receipts.attests(validators, header, replica, signature)
