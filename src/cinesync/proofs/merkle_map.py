"""A compact sparse Merkle tree: a map with one root, and proofs of what it has and has not.

A key's hexadecimal digits are its path: each names one of a node's sixteen children. A leaf stands
at the shortest prefix that it shares with no other key, so a tree of n keys is about log16(n) deep.
The root follows from the content alone, whatever came first. Pure.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from cinesync.proofs.merkle_log import BadProof

WIDTH: Final = 16
DEPTH_MAX: Final = 64  # a key's digits
HASH_BYTES: Final = 32
EMPTY: Final = bytes(HASH_BYTES)  # what nothing hashes to
UNTOLD: Final = EMPTY  # of a node whose hash is yet to be told to the one above
ROOT: Final = ""
DIGITS: Final = {digit: at for at, digit in enumerate("0123456789abcdef")}
LEAF_DOMAIN: Final = b"cinesync/map-leaf/1\x00"
NODE_DOMAIN: Final = b"cinesync/map-node/1\x00"

# A node's children: nothing, the hash of a node, or a leaf, which is key, value and hash.
MapNode = list[bytes]
# Nodes by their places, which are prefixes of keys; a place that has none is left out.
LoadNodes = Callable[[Sequence[str]], Mapping[str, MapNode]]
# What becomes of a value; None: there is none.
ValueUpdate = Callable[[bytes | None], bytes | None]


class MapProof(msgspec.Struct, frozen=True):
    """`path`: from the root down, the hashes of the fifteen others in each node, in order.

    `other`: key and value of the leaf that stands where an absent key would.
    """

    path: Sequence[Sequence[bytes]]
    other: tuple[bytes, bytes] | None = None


def leaf_hash(key: bytes, value: bytes) -> bytes:
    return hashlib.sha256(LEAF_DOMAIN + key + value).digest()


def node_hash(node: Sequence[bytes]) -> bytes:
    """A leaf ends with its hash, and so does everything else."""
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
    """The nodes that are new, the root among them; None: there is none any more.

    Nodes that several changes share are read and hashed once, and read level by level.
    """
    made: dict[str, MapNode | None] = {}
    stored: set[str] = set()
    some_left = False
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
                    node[at] = now = _changed(child, digits, key, changes[key], depth, made)
                    some_left |= not now
        if not deeper:
            break
        waiting = deeper
    for place in sorted(made, key=len, reverse=True)[:-1]:  # but for the root
        _settle(place, made, some_left=some_left)
    # What was made and given up in one go, nobody has to give up.
    return {place: node for place, node in made.items() if node is not None or place in stored}


def _changed(
    child: bytes,
    digits: str,
    key: bytes,
    change: ValueUpdate,
    depth: int,
    made: dict[str, MapNode | None],
) -> bytes:
    """What stands where there was a leaf at most."""
    if child and child[:HASH_BYTES] != key:
        value = change(None)
        return child if value is None else _parted(child, digits, _leaf(key, value), depth, made)
    value = change(child[HASH_BYTES:-HASH_BYTES] if child else None)
    return b"" if value is None else _leaf(key, value)


def _leaf(key: bytes, value: bytes) -> bytes:
    return key + value + leaf_hash(key, value)


def _parted(
    leaf: bytes, digits: str, other: bytes, depth: int, made: dict[str, MapNode | None]
) -> bytes:
    """Nodes down to where two leaves part; `digits` are the other's."""
    held = leaf[:HASH_BYTES].hex()
    while True:
        depth += 1
        node = made[digits[:depth]] = new_node()
        if held[depth] != digits[depth]:
            node[DIGITS[held[depth]]], node[DIGITS[digits[depth]]] = leaf, other
            return UNTOLD
        node[DIGITS[held[depth]]] = UNTOLD


def _settle(place: str, made: dict[str, MapNode | None], *, some_left: bool) -> None:
    """Tell the node above; a lone leaf, which there is only when another has left, moves up."""
    node, above = made[place], made[place[:-1]]
    assert node is not None
    assert above is not None
    child = b"".join(node) if some_left and node.count(b"") >= WIDTH - 1 else None
    if child is None or len(child) == HASH_BYTES:
        child = node_hash(node)
    else:
        made[place] = None
    above[DIGITS[place[-1]]] = child


def find(load: LoadNodes, key: bytes) -> tuple[bytes | None, MapProof]:
    """The value of a key, None if it has none, with the proof of either."""
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
    """The root that a proof leads to, of presence or (no value) of absence. Raises BadProof."""
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
