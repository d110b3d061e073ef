"""The proof of a whole block: enough to make a receipt for each of its entries.

The peaks of the tree below a block and the leaves in it give every path from the block's entries to
the header's root. A batch is verified with two hashes an entry, and a receipt is made on request.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from cinesync.pbft.messages import EpochLink
from cinesync.proofs import entries, headers, merkle_log, strict_json
from cinesync.proofs.genesis import Genesis
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.receipts import HeaderCertificate, Receipt
from cinesync.proofs.strict_json import InvalidDocument

LEAVES_MAX: Final = 64 * 256  # requests in a block, operations in a request


@dataclass(frozen=True)
class BlockProof:
    """A header, the peaks of the log below the block, and the block's leaf hashes.

    Raises InvalidDocument if they do not match.
    """

    header: BlockHeader
    peaks: Sequence[bytes]
    leaves: Sequence[bytes]

    def __post_init__(self) -> None:
        if self.first < 0 or len(self.peaks) != self.first.bit_count():
            raise InvalidDocument("block", "the number of peaks does not fit the size")
        if self._root_and_nodes[0] != self.header.root:
            raise InvalidDocument("block", "peaks and leaves do not lead to the header's root")

    @property
    def first(self) -> int:
        """The index of its first entry."""
        return self.header.size - len(self.leaves)

    def holds(self, index: int, entry: bytes) -> bool:
        """Whether the block has this entry at this index of the log."""
        at = index - self.first
        return 0 <= at < len(self.leaves) and self.leaves[at] == merkle_log.leaf_hash(entry)

    def index_of(self, entry: bytes) -> int:
        """The index in the log of an entry of this block."""
        return self.first + self.leaves.index(merkle_log.leaf_hash(entry))

    def receipt(
        self,
        genesis: Genesis,
        links: Sequence[EpochLink],
        certificate: HeaderCertificate,
        entry: bytes,
        index: int,
    ) -> Receipt:
        """The receipt of an entry of this block."""
        nodes = self._root_and_nodes[1]
        path = merkle_log.inclusion(index, self.header.size, lambda level, at: nodes[level, at])
        decoded = entries.decode(entry)
        return Receipt(genesis, links, self.header, certificate, decoded, index, path)

    @cached_property
    def _root_and_nodes(self) -> tuple[bytes, Mapping[tuple[int, int], bytes]]:
        """The root, and every node that paths from this block's entries need."""
        places = merkle_log.peaks(self.first)
        nodes = dict(zip(places, self.peaks, strict=True))
        tree = merkle_log.Frontier(self.first, self.peaks)
        for level, first, row in tree.extend(self.leaves):
            nodes.update(
                ((level, first + at), node) for at, node in enumerate(merkle_log.split(row))
            )
        return tree.root(), nodes


def from_json(value: Any) -> BlockProof:
    """From a validator's answer. Raises InvalidDocument."""
    fields = strict_json.object_with(value, ("header", "peaks", "leaves"), "block")
    header = headers.from_json(fields["header"], "block.header")
    peaks = _hashes(fields["peaks"], "block.peaks", merkle_log.PATH_MAX)
    return BlockProof(header, peaks, _hashes(fields["leaves"], "block.leaves", LEAVES_MAX))


def _hashes(value: Any, where: str, at_most: int) -> list[bytes]:
    if not isinstance(value, str):
        raise InvalidDocument(where, "not hexadecimal digits")
    size = min(len(value) // 2, at_most * merkle_log.HASH_BYTES)
    return merkle_log.split(
        strict_json.hexadecimal(value, where, size - size % merkle_log.HASH_BYTES)
    )
