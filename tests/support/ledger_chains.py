"""A little chain in memory: real keys, real headers, real receipts, no consensus."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from cinesync.pbft.messages import (
    Attestation,
    Checkpoint,
    CheckpointState,
    Configuration,
    EpochLink,
    StableProof,
    Validator,
    Vote,
    digest,
    payload,
)
from cinesync.proofs import genesis, headers, keys, merkle_log, merkle_map, subjects
from cinesync.proofs.completeness import CompletenessProof, IndexedEntry
from cinesync.proofs.entries import FORMAT, LedgerEntry
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.receipts import HeaderCertificate, Receipt

START = 1_700_000_000_000_000
KEYS = tuple(keys.generate() for _ in range(8))
RING = keys.KeyRing(KEYS)


def entry(number: int, booking: int | None = None) -> LedgerEntry:
    return LedgerEntry(
        format=FORMAT,
        event_id=str(UUID(int=number)),
        kind="payment.success",
        time=START + number,
        booking_id=str(UUID(int=number % 3 if booking is None else booking)),
        facts={"amount_cents": 2400 + number, "currency": "EUR", "seat": "Größe F7 \U0001f39f"},
        commitments={"customer_id": f"{number:064x}"},
    )


def founders(count: int = 4) -> Genesis:
    found = (Validator(at, keys.public_bytes(KEYS[at])) for at in range(count))
    return Genesis("tests", START, Configuration(0, tuple(found), ()))


@dataclass
class MemoryChain:
    genesis: Genesis = field(default_factory=founders)
    configuration: Configuration = field(init=False)
    links: list[EpochLink] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)
    blocks: list[BlockHeader] = field(default_factory=list)
    log: merkle_log.Frontier = field(default_factory=merkle_log.Frontier)
    stored: dict[tuple[int, int], bytes] = field(default_factory=dict)
    map: dict[str, merkle_map.MapNode] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.configuration = self.genesis.configuration

    def nodes(self, level: int, index: int) -> bytes:
        return self.stored[level, index]

    def grow(self, *added: LedgerEntry) -> BlockHeader:
        leaves = [merkle_log.leaf_hash(one.encode()) for one in added]
        for at, (one, leaf) in enumerate(zip(added, leaves, strict=True), self.log.size):
            self._map(one.booking_id, at, leaf)
        for leaf in leaves:
            self.stored |= {(level, at): node for level, at, node in self.log.append(leaf)}
        self.entries += added
        validators = genesis.set_hash(self.configuration)
        before = self.blocks[-1] if self.blocks else None
        time = START + len(self.blocks) + 1
        map_root = merkle_map.root_hash(self.map_nodes)
        made = headers.next_header(
            self.genesis.chain, before, time, leaves, self.log, map_root, validators
        )
        self.blocks.append(made)
        return made

    def map_nodes(self, places: Sequence[str]) -> dict[str, merkle_map.MapNode]:
        return {place: self.map[place] for place in places if place in self.map}

    def _map(self, subject: str, index: int, leaf: bytes) -> None:
        change = partial(subjects.value_of, [(index, leaf)])
        made = merkle_map.update(self.map_nodes, {subjects.key_of(subject): change})
        self.map |= {place: node for place, node in made.items() if node is not None}

    def certify(
        self, header: BlockHeader, signers: tuple[int, ...] = (0, 1, 2)
    ) -> HeaderCertificate:
        words = {at: self._attest(at, header) for at in signers}
        return HeaderCertificate(self.configuration.epoch, words)

    def _attest(self, replica: int, header: BlockHeader) -> bytes:
        epoch = self.configuration.epoch
        word = Attestation(replica, b"", epoch, header.height, header.hash)
        return RING.sign(keys.public_bytes(KEYS[replica]), payload(word))

    def receipt(self, index: int, signers: tuple[int, ...] = (0, 1, 2)) -> Receipt:
        header = self.blocks[-1]
        return Receipt(
            genesis=self.genesis,
            links=self.links,
            header=header,
            certificate=self.certify(header, signers),
            entry=self.entries[index],
            index=index,
            path=merkle_log.inclusion(index, header.size, self.nodes),
        )

    def completeness(
        self, booking_id: str, signers: tuple[int, ...] = (0, 1, 2)
    ) -> CompletenessProof:
        header = self.blocks[-1]
        held = [
            IndexedEntry(at, one)
            for at, one in enumerate(self.entries)
            if one.booking_id == booking_id
        ]
        _value, proof = merkle_map.find(self.map_nodes, subjects.key_of(booking_id))
        signed = (self.genesis, self.links, header, self.certify(header, signers))
        return CompletenessProof(*signed, booking_id, held, proof)

    def elect(self, replicas: tuple[int, ...], signers: tuple[int, ...] = (0, 1, 2)) -> None:
        """The next set of validators, named in a state that this one's checkpoint signs."""
        epoch = self.configuration.epoch
        found = (Validator(at, keys.public_bytes(KEYS[at])) for at in replicas)
        following = Configuration(epoch + 1, tuple(found), ())
        height = len(self.blocks)
        state = CheckpointState(height, START + height, following, None, bytes(32), b"", 0)
        votes = tuple(Vote(at, self._checkpoint(at, state)) for at in signers)
        self.links.append(EpochLink(StableProof(epoch, height, digest(state), votes), state))
        self.configuration = following

    def _checkpoint(self, replica: int, state: CheckpointState) -> bytes:
        claim = (self.configuration.epoch, state.height, digest(state))
        return RING.sign(
            keys.public_bytes(KEYS[replica]), payload(Checkpoint(replica, b"", *claim))
        )


def chain(count: int = 11) -> MemoryChain:
    """Blocks of two entries, and at the end one without any."""
    made = MemoryChain()
    for at in range(0, count, 2):
        made.grow(*(entry(number) for number in range(at, min(at + 2, count))))
    made.grow()
    return made


def replaced(receipt: Receipt, **changes: object) -> Receipt:
    """Another receipt, that nobody vouches for."""
    fields = {name: getattr(receipt, name) for name in Receipt.__dataclass_fields__}
    return Receipt(**(fields | changes))
