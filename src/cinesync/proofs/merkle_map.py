"""A compact sparse Merkle tree: a map with one root, and proofs of presence and absence.

The hexadecimal digits of a key are its path: each selects one of a node's sixteen children. A leaf
is at the shortest prefix that it shares with no other key, so a tree of n keys is about log16(n)
deep. The root depends on the content only, not on the order of updates.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from cinesync.proofs.merkle_log import BadProof

WIDTH: Final = 16
DEPTH_MAX: Final = 64  # a key's digits
HASH_BYTES: Final = 32
EMPTY: Final = bytes(HASH_BYTES)  # the hash of an empty child
UNHASHED: Final = EMPTY  # stands for a node until its hash is computed
ROOT: Final = ""
DIGITS: Final = {digit: at for at, digit in enumerate("0123456789abcdef")}
LEAF_DOMAIN: Final = b"cinesync/map-leaf/1\x00"
NODE_DOMAIN: Final = b"cinesync/map-node/1\x00"

# A node's children: empty, the hash of a node, or a leaf (key, value and hash).
MapNode = list[bytes]
# Nodes by place; a place is a prefix of keys. Places without a node are left out.
LoadNodes = Callable[[Sequence[str]], Mapping[str, MapNode]]
# Maps the old value to the new one; None: no value.
ValueUpdate = Callable[[bytes | None], bytes | None]


class MapProof(msgspec.Struct, frozen=True):
    """`path`: from the root down, the hashes of the fifteen siblings in each node, in order.

    `other`: key and value of the leaf at the place of an absent key.
    """

    path: Sequence[Sequence[bytes]]
    other: tuple[bytes, bytes] | None = None


def leaf_hash(key: bytes, value: bytes) -> bytes:
    return hashlib.sha256(LEAF_DOMAIN + key + value).digest()


def node_hash(node: Sequence[bytes]) -> bytes:
    """Every child ends with its hash."""
    hashes = b"".join(node)
    if len(hashes) != WIDTH * HASH_BYTES or b"" in node:  # not sixteen hashes
        hashes = b"".join([child[-HASH_BYTES:] or EMPTY for child in node])
    return hashlib.sha256(NODE_DOMAIN + hashes).digest()


def new_node() -> MapNode:
    return [b""] * WIDTH


def root_hash(load: LoadNodes) -> bytes:
    return node_hash(load([ROOT]).get(ROOT) or new_node())


EMPTY_ROOT: Final = node_hash(new_node())


def update(load: LoadNodes, changes: Mapping[bytes, ValueUpdate]) -> dict[str, MapNode | None]:
    """The new nodes by place, the root among them; None: the node was removed.

    Nodes that several changes share are read and hashed once. Reads go level by level.
    """
    made: dict[str, MapNode | None] = {}
    stored: set[str] = set()
    some_removed = False
    waiting = {ROOT: [(key.hex(), key) for key in changes]}
    for depth in range(DEPTH_MAX):
        found = load([place for place in waiting if place not in made])
        stored |= found.keys()
        deeper: dict[str, list[tuple[str, bytes]]] = {}
        for place, keys in waiting.items():
            node = made.get(place)
            if node is None:
                node = made[place] = list(found.get(place) or new_node())
            for digits, key in keys:
                at = DIGITS[digits[depth]]
                child = node[at]
                if len(child) == HASH_BYTES:
                    deeper.setdefault(digits[: depth + 1], []).append((digits, key))
                else:
                    node[at] = new_child = _changed(child, digits, key, changes[key], depth, made)
                    some_removed |= not new_child
        if not deeper:
            break
        waiting = deeper
    for place in sorted(made, key=len, reverse=True)[:-1]:  # but for the root
        _hash_into_parent(place, made, some_removed=some_removed)
    # A node that was made and removed in this call was never stored.
    return {place: node for place, node in made.items() if node is not None or place in stored}


def _changed(
    child: bytes,
    digits: str,
    key: bytes,
    change: ValueUpdate,
    depth: int,
    made: dict[str, MapNode | None],
) -> bytes:
    """The new child where there was a leaf or nothing."""
    if child and child[:HASH_BYTES] != key:
        value = change(None)
        return child if value is None else _part(child, digits, _leaf(key, value), depth, made)
    value = change(child[HASH_BYTES:-HASH_BYTES] if child else None)
    return b"" if value is None else _leaf(key, value)


def _leaf(key: bytes, value: bytes) -> bytes:
    return key + value + leaf_hash(key, value)


def _part(
    leaf: bytes, digits: str, other: bytes, depth: int, made: dict[str, MapNode | None]
) -> bytes:
    """Nodes down to where two leaves differ; `digits` are of the other leaf."""
    held = leaf[:HASH_BYTES].hex()
    while True:
        depth += 1
        node = made[digits[:depth]] = new_node()
        if held[depth] != digits[depth]:
            node[DIGITS[held[depth]]], node[DIGITS[digits[depth]]] = leaf, other
            return UNHASHED
        node[DIGITS[held[depth]]] = UNHASHED


def _hash_into_parent(place: str, made: dict[str, MapNode | None], *, some_removed: bool) -> None:
    """Put the hash into the parent. A node with one leaf left goes; its leaf moves up."""
    node, above = made[place], made[place[:-1]]
    assert node is not None
    assert above is not None
    child = b"".join(node) if some_removed and node.count(b"") >= WIDTH - 1 else None
    if child is None or len(child) == HASH_BYTES:
        child = node_hash(node)
    else:
        made[place] = None
    above[DIGITS[place[-1]]] = child


def find(load: LoadNodes, key: bytes) -> tuple[bytes | None, MapProof]:
    """The value of a key or None, with the proof of its presence or absence."""
    digits, place = key.hex(), ROOT
    path: list[list[bytes]] = []
    while True:
        node = load([place]).get(place) or new_node()
        at = DIGITS[digits[len(place)]]
        hashes = [child[-HASH_BYTES:] for child in node]
        path.append(hashes[:at] + hashes[at + 1 :])
        child = node[at]
        if len(child) != HASH_BYTES:
            break
        place = digits[: len(place) + 1]
    if not child:
        return None, MapProof(path)
    found, value = child[:HASH_BYTES], child[HASH_BYTES:-HASH_BYTES]
    return (value, MapProof(path)) if found == key else (None, MapProof(path, (found, value)))


def root_from(key: bytes, value: bytes | None, proof: MapProof) -> bytes:
    """The root that a proof of presence or (value None) absence leads to. Raises BadProof."""
    depth, digits = len(proof.path), key.hex()
    if not 1 <= depth <= DEPTH_MAX:
        raise BadProof("the path is too short" if not depth else "the path is too long")
    child = b"" if value is None else leaf_hash(key, value)
    if proof.other is not None:
        other, held = proof.other
        if value is not None or other == key:
            raise BadProof("another leaf cannot stand where the key does")
        if other.hex()[:depth] != digits[:depth]:
            raise BadProof("the other leaf does not stand where the key would")
        child = leaf_hash(other, held)
    for digit, others in zip(digits[depth - 1 :: -1], reversed(proof.path), strict=True):
        at = DIGITS[digit]
        child = node_hash([*others[:at], child, *others[at:]])
    return child
