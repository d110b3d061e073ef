"""The queries that a validator answers about its chain. Clients verify the proofs."""

from collections.abc import Callable
from typing import Any, Final

from cinesync.pbft.replica import Replica
from cinesync.proofs import merkle_log
from cinesync.validator.network.transport import Query, ValidatorStatus
from cinesync.validator.storage.chain_reader import StoredEntry
from cinesync.validator.storage.chain_store import ChainStore

HEADERS_MAX: Final = 50


class QueryApi:
    """Results are JSON values; None: not found."""

    def __init__(self, replica: Replica, chain: ChainStore) -> None:
        self._replica = replica
        self._chain = chain
        self._handlers: dict[str, Callable[[Query], Any]] = {
            "status": self._status,
            "attestation": self._attestation,
            "blocks": self._blocks,
            "block": self._block,
            "tail": self._tail,
            "entry": self._entry,
            "entries": self._entries,
            "subject": self._subject,
            "inclusion": self._inclusion,
            "consistency": self._consistency,
        }

    def answer(self, query: Query) -> Any:
        handler = self._handlers.get(query.ask)
        return handler(query) if handler else None

    def _status(self, _query: Query) -> ValidatorStatus:
        core = self._replica.core
        return ValidatorStatus(
            replica=core.me,
            epoch=core.configuration.epoch,
            view=core.view,
            primary=core.primary,
            active=core.active,
            abstaining=core.abstaining,
            height=core.executed,
            stable=core.log.low,
            pending=len(core.pending),
            size=self._size,
        )

    def _attestation(self, query: Query) -> dict[str, Any] | None:
        """The validator's signature over the header at height `first`, while it is in memory."""
        found = self._replica.core.attestations.get(query.first)
        if found is None:
            return None
        return {"epoch": found.epoch, "signature": found.signature.hex()}

    def _blocks(self, query: Query) -> list[dict[str, Any]]:
        """Headers above height `first`, at most `second`."""
        limit = max(0, min(query.second, HEADERS_MAX))
        return [header.to_json() for header in self._chain.headers(query.first, limit)]

    def _block(self, query: Query) -> dict[str, Any] | None:
        """The header at height `first`, 0 for the newest, and its entries."""
        height = query.first or self._chain.height
        header = self._chain.header(height)
        if header is None:
            return None
        entries = [_entry_json(stored) for stored in self._chain.entries_of_block(height)]
        return {"header": header.to_json(), "entries": entries}

    def _tail(self, query: Query) -> dict[str, Any] | None:
        """The block proof at height `first`: header, peaks of the log below, leaf hashes."""
        header = self._chain.header(query.first)
        if header is None:
            return None
        first, leaves = self._chain.leaves_of_block(query.first)
        peaks = merkle_log.frontier(first, self._chain.node).peaks
        return {
            "header": header.to_json(),
            "peaks": b"".join(peaks).hex(),
            "leaves": b"".join(leaves).hex(),
        }

    def _entry(self, query: Query) -> dict[str, Any] | None:
        """The entry of the event `name`."""
        stored = self._chain.entry(query.name)
        return _entry_json(stored) if stored else None

    def _entries(self, query: Query) -> list[dict[str, Any]]:
        """The entries of the booking `name`."""
        return [_entry_json(stored) for stored in self._chain.entries_of_booking(query.name)]

    def _subject(self, query: Query) -> dict[str, Any]:
        """The entries of the booking `name`, and the map's proof for the newest header."""
        entries = [_entry_json(stored) for stored in self._chain.entries_of_booking(query.name)]
        _value, proof = self._chain.map.find(query.name)
        other = proof.other and {"key": proof.other[0].hex(), "value": proof.other[1].hex()}
        path = [[node.hex() or None for node in level] for level in proof.path]
        return {"height": self._chain.height, "entries": entries, "path": path, "other": other}

    def _inclusion(self, query: Query) -> list[str] | None:
        """The inclusion path of entry `first` in the log of size `second`."""
        if not 0 <= query.first < query.second <= self._size:
            return None
        path = merkle_log.inclusion(query.first, query.second, self._chain.node)
        return [node.hex() for node in path]

    def _consistency(self, query: Query) -> list[str] | None:
        """The consistency proof between the logs of sizes `first` and `second`."""
        if not 0 < query.first <= query.second <= self._size:
            return None
        path = merkle_log.consistency(query.first, query.second, self._chain.node)
        return [node.hex() for node in path]

    @property
    def _size(self) -> int:
        return self._chain.log.size


def _entry_json(stored: StoredEntry) -> dict[str, Any]:
    text = stored.data.decode()
    return {"index": stored.index, "height": stored.height, "entry": text}
