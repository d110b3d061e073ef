"""The replicated state machine: it applies decided requests to a log of entries in blocks.

The log only grows, so every checkpoint's state is a prefix of one stream of blocks: a snapshot
copies nothing, and state transfer sends chunks of the stream (see `storage.block_stream`).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from cinesync.pbft.messages import Configuration, Request
from cinesync.pbft.ports import ApplicationSnapshot, Applied
from cinesync.proofs import entries, genesis, headers, merkle_log
from cinesync.proofs.entries import LedgerEntry
from cinesync.proofs.genesis import Genesis
from cinesync.validator.storage import block_stream
from cinesync.validator.storage.chain_reader import parse_header
from cinesync.validator.storage.chain_store import ChainStore

OPERATIONS_MAX: Final = 256  # in a request, so that its result fits a reply

_indices: Final = msgspec.msgpack.Decoder(list[int])
_set_hash: Final = lru_cache(maxsize=4)(genesis.set_hash)


class StateManifest(msgspec.Struct, frozen=True, array_like=True):
    """A checkpoint's state: its last header, and the Merkle root over the stream's chunks."""

    header: bytes
    end: int
    root: bytes


class StateChunk(msgspec.Struct, frozen=True, array_like=True):
    """A chunk of the stream with its path to the manifest's root."""

    data: bytes
    path: list[bytes]


def entry_indices(result: bytes) -> list[int]:
    """The index in the log of each entry of a request, from its reply."""
    return _indices.decode(result)


class LedgerStateMachine:
    """Deterministic: equal blocks make equal headers on every validator.

    `configuration` returns the set in force; the driver sets it once there is a replica.
    """

    def __init__(self, start: Genesis, chain: ChainStore) -> None:
        self._genesis = start
        self.chain = chain
        self.configuration: Callable[[], Configuration] = lambda: start.configuration

    def validate(self, operation: bytes) -> bool:
        try:
            _decode(operation)
        except entries.BadEntry:
            return False
        return True

    def apply(self, height: int, time: int, requests: Sequence[Request]) -> Applied:
        """Append the entries whose events are not in the log: each event is in the log once."""
        submitted = [[_decode(data) for data in request.operations] for request in requests]
        event_ids = [entry.event_id for request in submitted for entry, _ in request]
        known = self.chain.indices(event_ids)
        fresh: list[tuple[LedgerEntry, bytes]] = []
        results = []
        for request in submitted:
            for entry, data in request:
                if entry.event_id not in known:
                    known[entry.event_id] = self.chain.log.size + len(fresh)
                    fresh.append((entry, data))
            results.append(msgspec.msgpack.encode([known[e.event_id] for e, _ in request]))
        return Applied(results, self._append(height, time, fresh))

    def _append(self, height: int, time: int, fresh: Sequence[tuple[LedgerEntry, bytes]]) -> bytes:
        leaves = [merkle_log.leaf_hash(data) for _, data in fresh]
        before = self.chain.tip
        self.chain.extend_log([entry for entry, _ in fresh], leaves)
        validators = _set_hash(self.configuration())
        chain = self._genesis.chain
        log, map_root = self.chain.log, self.chain.map.root
        header = headers.next_header(chain, before, time, leaves, log, map_root, validators)
        assert header.height == height
        self.chain.append(header, fresh)
        return header.hash

    # snapshots

    def snapshot(self, height: int) -> ApplicationSnapshot:
        self.chain.sync()
        manifest = self._manifest(height)
        return ApplicationSnapshot(
            msgspec.msgpack.encode(manifest), -(-manifest.end // block_stream.CHUNK_BYTES)
        )

    def _manifest(self, height: int) -> StateManifest:
        header = self.chain.header(height)
        assert header is not None
        end = self.chain.stream_end_at(height)
        root = merkle_log.root_of(self.chain.chunk_hashes(end))
        return StateManifest(header.encoded, end, root)

    def chunk(self, height: int, index: int) -> bytes | None:
        end = self.chain.stream_end_at(height)
        start = index * block_stream.CHUNK_BYTES
        if not 0 <= start < end:
            return None
        hashes = self.chain.chunk_hashes(end)
        path = merkle_log.inclusion(index, len(hashes), _tree(hashes))
        data = self.chain.stream(start, min(start + block_stream.CHUNK_BYTES, end))
        return msgspec.msgpack.encode(StateChunk(data, path))

    def receive(self, height: int, manifest: bytes, index: int, data: bytes) -> bool:
        del height  # the manifest names it
        try:
            wanted = msgspec.msgpack.decode(manifest, type=StateManifest)
            chunk = msgspec.msgpack.decode(data, type=StateChunk)
            count = -(-wanted.end // block_stream.CHUNK_BYTES)
            leaf = merkle_log.leaf_hash(chunk.data)
            root = merkle_log.root_from_inclusion(leaf, index, count, chunk.path)
        except (msgspec.DecodeError, merkle_log.BadProof):
            return False
        if root != wanted.root:
            return False
        self.chain.stage_chunk(manifest, index, chunk.data)
        return True

    def restore(self, height: int, manifest: bytes) -> bool:
        if height == 0:
            self.chain.truncate(0)  # the journal replays all blocks since
            return True
        wanted = msgspec.msgpack.decode(manifest, type=StateManifest)
        if not self._has(height, wanted) and not self._rebuild(manifest, wanted):
            return False
        self.chain.truncate(height)
        self.chain.sync()
        return True

    def reset(self) -> None:
        self.chain.reset()

    def _has(self, height: int, wanted: StateManifest) -> bool:
        header = self.chain.header(height)
        return header is not None and header.encoded == wanted.header

    def _rebuild(self, manifest: bytes, wanted: StateManifest) -> bool:
        """Rebuild the chain from staged chunks, which a stable checkpoint proves."""
        stream = b"".join(self.chain.staged_chunks(manifest))
        if len(stream) != wanted.end:
            return False
        self.chain.truncate(0)
        for raw, data in block_stream.records(stream):
            fresh = [_decode(piece) for piece in data]
            leaves = [merkle_log.leaf_hash(piece) for piece in data]
            self.chain.extend_log([entry for entry, _ in fresh], leaves)
            self.chain.append(parse_header(raw), fresh)
        self.chain.drop_staged()
        tip = self.chain.tip
        return tip is not None and tip.map_root == self.chain.map.root

    def discard(self, below: int) -> None:
        """Nothing to do: a snapshot copies nothing."""


@lru_cache(maxsize=8_192)
def _decode(data: bytes) -> tuple[LedgerEntry, bytes]:
    """Cached from `validate` to `apply`. Raises BadEntry."""
    return entries.decode(data), data


def _tree(leaves: Sequence[bytes]) -> merkle_log.Nodes:
    made: dict[tuple[int, int], bytes] = {}
    tree = merkle_log.Frontier()
    for leaf in leaves:
        made |= {(level, index): node for level, index, node in tree.append(leaf)}
    return lambda level, index: made[level, index]
