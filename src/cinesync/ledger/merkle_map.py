"""A compact sparse Merkle tree: a map with one root, and proofs of what it has and has not.

A key's hexadecimal digits are its path: each names one of a node's sixteen children. A leaf stands
at the shortest prefix that it shares with no other key, so a tree of n keys is about log16(n) deep.
The root follows from the content alone, whatever came first. Pure.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

import msgspec

from cinesync.ledger.merkle import BadProof

WIDTH: Final = 16
DEPTH_MAX: Final = 64  # a key's digits
HASH_BYTES: Final = 32
EMPTY: Final = bytes(HASH_BYTES)  # what nothing hashes to
ROOT: Final = ""
DIGITS: Final = {digit: at for at, digit in enumerate("0123456789abcdef")}
LEAF_DOMAIN: Final = b"cinesync/map-leaf/1\x00"
NODE_DOMAIN: Final = b"cinesync/map-node/1\x00"

# A node's children: nothing, the hash of a node, or a leaf, which is key, value and hash.
Node = list[bytes]
# Nodes by their places, which are prefixes of keys; a place that has none is left out.
Load = Callable[[Sequence[str]], Mapping[str, Node]]
# What becomes of a value; None: there is none.
Change = Callable[[bytes | None], bytes | None]


class Proof(msgspec.Struct, frozen=True):
    """`path`: from the root down, the hashes of the fifteen others in each node, in order.

    `other`: key and value of the leaf that stands where an absent key would.
    """

    path: Sequence[Sequence[bytes]]
    other: tuple[bytes, bytes] | None = None


def leaf_hash(key: bytes, value: bytes) -> bytes:
    return hashlib.sha256(LEAF_DOMAIN + key + value).digest()


def node_hash(node: Iterable[bytes]) -> bytes:
    """A leaf ends with its hash, and so does everything else."""
    hashes = b"".join([child[-HASH_BYTES:] or EMPTY for child in node])
    return hashlib.sha256(NODE_DOMAIN + hashes).digest()


def new_node() -> Node:
    return [b""] * WIDTH


def root_hash(load: Load) -> bytes:
    return node_hash(load([ROOT]).get(ROOT) or new_node())


EMPTY_ROOT: Final = node_hash(new_node())


def update(load: Load, changes: Mapping[bytes, Change]) -> dict[str, Node | None]:
    """The nodes that are new, the root among them; None: there is none any more.

    Nodes that several changes share are read and hashed once, and read level by level.
    """
    made: dict[str, Node | None] = {}
    levels: list[list[str]] = []
    waiting = {ROOT: sorted((key.hex(), key) for key in changes)}
    while waiting:
        found = load(list(waiting))
        levels.append(list(waiting))
        deeper: dict[str, list[tuple[str, bytes]]] = {}
        for place, keys in waiting.items():
            node = list(found.get(place) or new_node())
            made[place] = node
            for digit, group in _grouped(keys, len(place)):
                at = DIGITS[digit]
                if len(node[at]) == HASH_BYTES:
                    deeper[place + digit] = group
                else:
                    leaves = _changed(node[at], group, changes)
                    node[at] = _planted(place + digit, leaves, made)
        waiting = deeper
    for level in reversed(levels[1:]):
        for place in level:
            _settle(place, made)
    return made


def _grouped(
    keys: list[tuple[str, bytes]], depth: int
) -> Iterable[tuple[str, list[tuple[str, bytes]]]]:
    if len(keys) == 1:
        return [(keys[0][0][depth], keys)]
    return [(digit, list(some)) for digit, some in groupby(keys, lambda pair: pair[0][depth])]


def _changed(
    child: bytes, group: list[tuple[str, bytes]], changes: Mapping[bytes, Change]
) -> list[tuple[str, bytes]]:
    """The leaves, in order, where there was one at most: each with its digits."""
    if not child and len(group) == 1:
        ((digits, key),) = group
        value = changes[key](None)
        return [(digits, _leaf(key, value))] if value is not None else []
    leaves = {child[:HASH_BYTES].hex(): child} if child else {}
    for digits, key in group:
        before = leaves.pop(digits, None)
        value = changes[key](before[HASH_BYTES:-HASH_BYTES] if before else None)
        if value is not None:
            leaves[digits] = _leaf(key, value)
    return sorted(leaves.items())


def _leaf(key: bytes, value: bytes) -> bytes:
    return key + value + leaf_hash(key, value)


def _planted(place: str, leaves: list[tuple[str, bytes]], made: dict[str, Node | None]) -> bytes:
    """The child that leaves of one prefix make."""
    if len(leaves) <= 1:
        return leaves[0][1] if leaves else b""
    node = new_node()
    for digit, group in _grouped(leaves, len(place)):
        node[DIGITS[digit]] = _planted(place + digit, group, made)
    made[place] = node
    return node_hash(node)


def _settle(place: str, made: dict[str, Node | None]) -> None:
    """Tell the node above; a lone leaf moves up."""
    node, above = made[place], made[place[:-1]]
    assert node is not None
    assert above is not None
    child = b"".join(node) if node.count(b"") >= WIDTH - 1 else None
    if child is None or len(child) == HASH_BYTES:
        child = node_hash(node)
    else:
        made[place] = None
    above[DIGITS[place[-1]]] = child


def find(load: Load, key: bytes) -> tuple[bytes | None, Proof]:
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
        return None, Proof(path)
    found, value = child[:HASH_BYTES], child[HASH_BYTES:-HASH_BYTES]
    return (value, Proof(path)) if found == key else (None, Proof(path, (found, value)))


def root_from(key: bytes, value: bytes | None, proof: Proof) -> bytes:
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
