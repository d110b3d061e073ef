"""A block's Merkle tree as a picture: where each node stands, and what it is to an entry. Pure.

A small tree is drawn whole. Of a large one only what an entry's path needs is opened; the rest
stands in bundles, each with the hash that the proof takes from it.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

WHOLE_LEAVES_MAX: Final = 16
OPEN_LEVELS: Final = 3  # of a large tree with no entry chosen
COLUMN: Final = 58
ROW: Final = 74
MARGIN: Final = 44


class Role(Enum):
    """What a node is to the entry chosen."""

    PLAIN = "plain"
    CHOSEN = "chosen"
    PATH = "path"
    PROOF = "proof"


@dataclass(frozen=True, slots=True)
class Node:
    """The hash over leaves [start, end), drawn at x, y."""

    start: int
    end: int
    hash: bytes
    role: Role
    bundle: bool
    x: float
    y: int

    @property
    def leaf(self) -> bool:
        return self.end - self.start == 1


@dataclass(frozen=True, slots=True)
class Edge:
    """From a node down to one that it is made of."""

    above: Node
    below: Node

    @property
    def lit(self) -> bool:
        """Leads from the chosen entry to the root."""
        return self.below.role in {Role.CHOSEN, Role.PATH}


@dataclass(frozen=True, slots=True)
class Picture:
    nodes: list[Node]
    edges: list[Edge]
    width: int
    height: int

    @property
    def root(self) -> Node:
        return self.nodes[-1]

    @property
    def proof(self) -> list[Node]:
        """The hashes that a proof of the chosen entry consists of, from the leaf upwards."""
        return sorted((one for one in self.nodes if one.role is Role.PROOF), key=lambda n: -n.y)


def root_of(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162, section 2.1.1."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    middle = split(len(leaves))
    return hashlib.sha256(b"\x01" + root_of(leaves[:middle]) + root_of(leaves[middle:])).digest()


def split(width: int) -> int:
    """The largest power of two below a width of two or more."""
    return 1 << (width - 1).bit_length() - 1


def draw(leaves: Sequence[bytes], chosen: int | None = None) -> Picture | None:
    """None when there is nothing to draw."""
    if not leaves:
        return None
    pen = _Pen(leaves, chosen)
    pen.draw(0, len(leaves), 0)
    bottom = max(node.y for node in pen.nodes)
    return Picture(pen.nodes, pen.edges, 2 * MARGIN + COLUMN * (pen.columns - 1), bottom + MARGIN)


class _Pen:
    def __init__(self, leaves: Sequence[bytes], chosen: int | None) -> None:
        self._leaves = leaves
        self._chosen = chosen
        self.columns = 0
        self.nodes: list[Node] = []
        self.edges: list[Edge] = []

    def draw(self, start: int, end: int, depth: int) -> Node:
        """What is below comes first; the root is the last."""
        below = []
        opened = end - start > 1 and self._opens(start, end, depth)
        if opened:
            middle = start + split(end - start)
            below = [self.draw(start, middle, depth + 1), self.draw(middle, end, depth + 1)]
            x = (below[0].x + below[1].x) / 2
        else:
            x = float(MARGIN + COLUMN * self.columns)
            self.columns += 1
        node = Node(
            start,
            end,
            root_of(self._leaves[start:end]),
            self._role(start, end, depth),
            not opened and end - start > 1,
            x,
            MARGIN + ROW * depth,
        )
        self.nodes.append(node)
        self.edges += [Edge(node, one) for one in below]
        return node

    def _opens(self, start: int, end: int, depth: int) -> bool:
        if len(self._leaves) <= WHOLE_LEAVES_MAX:
            return True
        if self._chosen is None:
            return depth < OPEN_LEVELS
        return start <= self._chosen < end

    def _role(self, start: int, end: int, depth: int) -> Role:
        if self._chosen is None:
            return Role.PLAIN
        if start <= self._chosen < end:
            return Role.CHOSEN if end - start == 1 else Role.PATH
        above = self._above(start, end, depth)
        return Role.PROOF if above[0] <= self._chosen < above[1] else Role.PLAIN

    def _above(self, start: int, end: int, depth: int) -> tuple[int, int]:
        """The range whose half [start, end) is."""
        low, high = 0, len(self._leaves)
        for _ in range(depth - 1):
            middle = low + split(high - low)
            low, high = (low, middle) if end <= middle else (middle, high)
        assert low <= start < end <= high
        return low, high
