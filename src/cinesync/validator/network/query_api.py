"""What a validator tells of its copy of the chain. Whoever asks checks the proofs."""

from collections.abc import Callable
from typing import Any, Final

from cinesync.pbft.replica import Replica
from cinesync.proofs import merkle_log
from cinesync.validator.network.transport import Query, ValidatorStatus
from cinesync.validator.storage.chain_store import ChainStore, StoredEntry

HEADERS_MAX: Final = 50


class QueryApi:
    """Answers are JSON values; None: not here."""

    def __init__(self, replica: Replica, chain: ChainStore) -> None:
        self._replica = replica
        self._chain = chain
        self._asks: dict[str, Callable[[Query], Any]] = {
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
        ask = self._asks.get(query.ask)
        return ask(query) if ask else None

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
        """Of the header at height `first`, as long as it is near the top."""
        word = self._replica.core.attestations.get(query.first)
        if word is None:
            return None
        return {"epoch": word.epoch, "signature": word.signature.hex()}

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
        entries = [_placed(placed) for placed in self._chain.entries_of_block(height)]
        return {"header": header.to_json(), "entries": entries}

    def _tail(self, query: Query) -> dict[str, Any] | None:
        """The header at height `first`, the peaks of the log below it, and its leaves."""
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
        placed = self._chain.entry(query.name)
        return _placed(placed) if placed else None

    def _entries(self, query: Query) -> list[dict[str, Any]]:
        """The entries of the booking `name`."""
        return [_placed(placed) for placed in self._chain.entries_of_booking(query.name)]

    def _subject(self, query: Query) -> dict[str, Any]:
        """The entries of the booking `name`, and the map's proof for the newest header."""
        entries = [_placed(placed) for placed in self._chain.entries_of_booking(query.name)]
        _value, proof = self._chain.map.find(query.name)
        other = proof.other and {"key": proof.other[0].hex(), "value": proof.other[1].hex()}
        path = [[node.hex() or None for node in level] for level in proof.path]
        return {"height": self._chain.height, "entries": entries, "path": path, "other": other}

    def _inclusion(self, query: Query) -> list[str] | None:
        """Of entry `first` in the log of size `second`."""
        if not 0 <= query.first < query.second <= self._size:
            return None
        path = merkle_log.inclusion(query.first, query.second, self._chain.node)
        return [node.hex() for node in path]

    def _consistency(self, query: Query) -> list[str] | None:
        """Between the logs of sizes `first` and `second`."""
        if not 0 < query.first <= query.second <= self._size:
            return None
        path = merkle_log.consistency(query.first, query.second, self._chain.node)
        return [node.hex() for node in path]

    @property
    def _size(self) -> int:
        return self._chain.log.size


def _placed(placed: StoredEntry) -> dict[str, Any]:
    text = placed.data.decode()
    return {"index": placed.index, "height": placed.height, "entry": text}
