"""The layout of a block's Merkle tree. Pure.

A small tree is drawn in full. Of a large tree only the path of the chosen entry is expanded; every
other subtree is drawn as one collapsed node with its hash, which is what the proof needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from cinesync.proofs import merkle_log

FULL_LEAVES_MAX: Final = 16
EXPANDED_LEVELS: Final = 3  # of a large tree without a chosen entry
COLUMN_WIDTH: Final = 58
ROW_HEIGHT: Final = 74
MARGIN: Final = 44


class NodeRole(Enum):
    """The part that a node has in the proof of the chosen entry."""

    PLAIN = "plain"
    CHOSEN = "chosen"
    PATH = "path"
    PROOF = "proof"


@dataclass(frozen=True, slots=True)
class TreeNode:
    """The hash over leaves [start, end), drawn at x, y."""

    start: int
    end: int
    hash: bytes
    role: NodeRole
    is_collapsed: bool
    x: float
    y: int

    @property
    def is_leaf(self) -> bool:
        return self.end - self.start == 1


@dataclass(frozen=True, slots=True)
class TreeEdge:
    """From a node to one of its children."""

    parent: TreeNode
    child: TreeNode

    @property
    def is_on_path(self) -> bool:
        """Whether it leads from the chosen entry to the root."""
        return self.child.role in {NodeRole.CHOSEN, NodeRole.PATH}


@dataclass(frozen=True, slots=True)
class TreeDrawing:
    """The nodes are in post-order: the root is the last."""

    nodes: list[TreeNode]
    edges: list[TreeEdge]
    width: int
    height: int

    @property
    def root(self) -> TreeNode:
        return self.nodes[-1]

    @property
    def proof(self) -> list[TreeNode]:
        """The nodes of the chosen entry's inclusion proof, from the leaf upwards."""
        return sorted((one for one in self.nodes if one.role is NodeRole.PROOF), key=lambda n: -n.y)


def draw(leaves: Sequence[bytes], chosen: int | None = None) -> TreeDrawing | None:
    """The tree over these leaf hashes, or None when there are none."""
    if not leaves:
        return None
    layout = _Layout(leaves, chosen)
    layout.place(0, len(leaves), 0)
    width = 2 * MARGIN + COLUMN_WIDTH * (layout.columns - 1)
    bottom = max(node.y for node in layout.nodes)
    return TreeDrawing(layout.nodes, layout.edges, width, bottom + MARGIN)


class _Layout:
    def __init__(self, leaves: Sequence[bytes], chosen: int | None) -> None:
        self._leaves = leaves
        self._chosen = chosen
        self.columns = 0
        self.nodes: list[TreeNode] = []
        self.edges: list[TreeEdge] = []

    def place(self, start: int, end: int, depth: int) -> TreeNode:
        """Place the node over leaves [start, end), after its children."""
        children = []
        is_expanded = end - start > 1 and self._is_expanded(start, end, depth)
        if is_expanded:
            middle = start + merkle_log.split_point(end - start)
            children = [self.place(start, middle, depth + 1), self.place(middle, end, depth + 1)]
            x = (children[0].x + children[1].x) / 2
        else:
            x = float(MARGIN + COLUMN_WIDTH * self.columns)
            self.columns += 1
        node = TreeNode(
            start,
            end,
            merkle_log.root_of(self._leaves[start:end]),
            self._role(start, end, depth),
            not is_expanded and end - start > 1,
            x,
            MARGIN + ROW_HEIGHT * depth,
        )
        self.nodes.append(node)
        self.edges += [TreeEdge(node, child) for child in children]
        return node

    def _is_expanded(self, start: int, end: int, depth: int) -> bool:
        if len(self._leaves) <= FULL_LEAVES_MAX:
            return True
        if self._chosen is None:
            return depth < EXPANDED_LEVELS
        return start <= self._chosen < end

    def _role(self, start: int, end: int, depth: int) -> NodeRole:
        if self._chosen is None:
            return NodeRole.PLAIN
        if start <= self._chosen < end:
            return NodeRole.CHOSEN if end - start == 1 else NodeRole.PATH
        low, high = self._parent(start, end, depth)
        return NodeRole.PROOF if low <= self._chosen < high else NodeRole.PLAIN

    def _parent(self, start: int, end: int, depth: int) -> tuple[int, int]:
        """The range of the parent of [start, end)."""
        low, high = 0, len(self._leaves)
        for _ in range(depth - 1):
            middle = low + merkle_log.split_point(high - low)
            low, high = (low, middle) if end <= middle else (middle, high)
        assert low <= start < end <= high
        return low, high
