"""Merkle trees (RFC 9162, section 2.1): roots, inclusion proofs, consistency proofs.

Callers store the hashes of complete subtrees, which never change: `nodes(level, index)` is the hash
over the leaves [index * 2**level, (index + 1) * 2**level). Proofs are made of them.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

Nodes = Callable[[int, int], bytes]
NodeRow = tuple[int, int, bytes]  # level, first index, the hashes from there on
HASH_BYTES: Final = 32
EMPTY: Final = hashlib.sha256().digest()
PATH_MAX: Final = 64


class BadProof(ValueError):
    """The path does not connect the two hashes."""


def split(packed: bytes) -> list[bytes]:
    """The hashes in a concatenation."""
    return [packed[at : at + HASH_BYTES] for at in range(0, len(packed), HASH_BYTES)]


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The complete subtrees at a tree's right edge, largest first: enough to append leaves."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        self.size = size
        self.peaks = list(peaks)
        assert len(self.peaks) == size.bit_count()

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes]]:
        """Append a leaf hash. Returns (level, index, hash) of every subtree that it completes."""
        index, level, node = self.size, 0, leaf
        made = [(level, index, node)]
        while index & 1:
            node = node_hash(self.peaks.pop(), node)
            index, level = index >> 1, level + 1
            made.append((level, index, node))
        self.peaks.append(node)
        self.size += 1
        return made

    def extend(self, leaves: Sequence[bytes]) -> list[NodeRow]:
        """Append leaf hashes, level by level. Returns the completed subtrees, the lowest first."""
        level, start, row = 0, self.size, list(leaves)
        self.size += len(row)
        made: list[NodeRow] = []
        fresh = []  # peaks, smallest first
        while row:
            made.append((level, start, b"".join(row)))
            if start & 1:
                start -= 1
                row.insert(0, self.peaks.pop())
            if len(row) & 1:
                fresh.append(row.pop())
            level, start, row = level + 1, start >> 1, _pairs(row)
        self.peaks += reversed(fresh)
        return made

    def root(self) -> bytes:
        if not self.peaks:
            return EMPTY
        *rest, node = self.peaks
        for peak in reversed(rest):
            node = node_hash(peak, node)
        return node


def frontier(size: int, nodes: Nodes) -> Frontier:
    """The right edge of the tree of the first `size` leaves."""
    return Frontier(size, [nodes(level, index) for level, index in peaks(size)])


def peaks(size: int) -> list[tuple[int, int]]:
    """The (level, index) of the complete subtrees at the right edge, largest first."""
    levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
    return [(level, (size >> level) - 1) for level in levels]


def root(size: int, nodes: Nodes) -> bytes:
    return frontier(size, nodes).root()


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The root over leaf hashes, level by level; an odd last node goes up as it is."""
    level = list(leaves)
    while len(level) > 1:
        level = _pairs(level) + level[len(level) & ~1 :]
    return level[0] if level else EMPTY


def _pairs(nodes: Sequence[bytes]) -> list[bytes]:
    """The parents of each two nodes; an odd last node is left out."""
    sha256, halves = hashlib.sha256, zip(nodes[::2], nodes[1::2], strict=False)
    return [sha256(b"\x01" + left + right).digest() for left, right in halves]


def inclusion(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """PATH(index, D[size]) of section 2.1.3.1, from the leaf upwards."""
    assert 0 <= index < size
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + split_point(end - start)
        if index < middle:
            path.append(_range(middle, end, nodes))
            end = middle
        else:
            path.append(_range(start, middle, nodes))
            start = middle
    return path[::-1]


def consistency(first: int, second: int, nodes: Nodes) -> list[bytes]:
    """PROOF(first, D[second]) of section 2.1.4.1."""
    assert 0 < first <= second
    path: list[bytes] = []
    start, end, whole = 0, second, True
    while end != first:
        middle = start + split_point(end - start)
        if first <= middle:
            path.append(_range(middle, end, nodes))
            end = middle
        else:
            path.append(_range(start, middle, nodes))
            start, whole = middle, False
    if not whole:
        path.append(_range(start, end, nodes))
    return path[::-1]


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that the path leads to (section 2.1.3.2). Raises BadProof for a wrong length."""
    if not 0 <= index < size:
        raise BadProof(f"a tree of {size} has no entry {index}")
    node, last = leaf, size - 1
    for sibling in path:
        if last == 0:
            raise BadProof("the path is too long")
        if index & 1 or index == last:
            node = node_hash(sibling, node)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        index, last = index >> 1, last >> 1
    if last:
        raise BadProof("the path is too short")
    return node


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]
) -> None:
    """Check that the first tree is a prefix of the second (section 2.1.4.2). Raises BadProof."""
    if not 0 <= first <= second:
        raise BadProof(f"a tree of {first} is not smaller than one of {second}")
    if first in {0, second}:
        if path or (first_root != second_root if first else first_root != EMPTY):
            raise BadProof(
                "equal sizes with different roots" if not path else "the path must be empty"
            )
        return
    if first & (first - 1) == 0:
        path = [first_root, *path]
    if not path:
        raise BadProof("the path is empty")
    old, new = _climb(first, second, path)
    if old != first_root:
        raise BadProof("the path does not lead to the first root")
    if new != second_root:
        raise BadProof("the path does not lead to the second root")


def _climb(first: int, second: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    index, last = first - 1, second - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise BadProof("the path is too long")
        if index & 1 or index == last:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            new = node_hash(new, sibling)
        index, last = index >> 1, last >> 1
    if last:
        raise BadProof("the path is too short")
    return old, new


def _range(start: int, end: int, nodes: Nodes) -> bytes:
    """The hash over [start, end), a range that the splits of section 2.1.1 make."""
    width = end - start
    if width & (width - 1) == 0:
        level = width.bit_length() - 1
        return nodes(level, start >> level)
    middle = start + split_point(width)
    return node_hash(_range(start, middle, nodes), _range(middle, end, nodes))


def split_point(width: int) -> int:
    """The largest power of two below a width of two or more."""
    return 1 << (width - 1).bit_length() - 1
