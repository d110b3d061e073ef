"""The map against a dict, and its proofs against everything that is not so."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cinesync.proofs import merkle_map
from cinesync.proofs.merkle_log import BadProof
from cinesync.proofs.merkle_map import (
    EMPTY,
    LEAF_DOMAIN,
    NODE_DOMAIN,
    MapNode,
    MapProof,
    ValueUpdate,
)


@dataclass
class Map:
    nodes: dict[str, MapNode] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def load(self, places: Sequence[str]) -> dict[str, MapNode]:
        self.asked += places
        return {place: self.nodes[place] for place in places if place in self.nodes}

    def put(self, values: dict[bytes, bytes | None]) -> None:
        made = merkle_map.update(self.load, {key: becomes(value) for key, value in values.items()})
        for place, node in made.items():
            if node is None:
                del self.nodes[place]
            else:
                self.nodes[place] = node

    @property
    def root(self) -> bytes:
        return merkle_map.root_hash(self.load)


def becomes(value: bytes | None) -> ValueUpdate:
    return lambda _before: value


def naive_root(values: dict[bytes, bytes]) -> bytes:
    """As the definition has it: a node of sixteen at the root, below it as few as needed."""
    return _naive_node({key.hex(): (key, value) for key, value in values.items()}, 0)


def _naive_node(leaves: dict[str, tuple[bytes, bytes]], depth: int) -> bytes:
    hashes = b""
    for digit in "0123456789abcdef":
        below = {k: leaf for k, leaf in leaves.items() if k[depth] == digit}
        if len(below) > 1:
            hashes += _naive_node(below, depth + 1)
        elif below:
            ((key, value),) = below.values()
            hashes += hashlib.sha256(LEAF_DOMAIN + key + value).digest()
        else:
            hashes += EMPTY
    return hashlib.sha256(NODE_DOMAIN + hashes).digest()


def hashed(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(4)).digest()


# Some keys have long prefixes in common.
KEYS = st.one_of(
    st.integers(0, 40).map(hashed),
    st.tuples(st.integers(0, 32), st.binary(min_size=1, max_size=1)).map(
        lambda drawn: (bytes(drawn[0]) + drawn[1] + bytes(32))[:32]
    ),
)
VALUES = st.binary(min_size=32, max_size=32)
BATCH = st.dictionaries(KEYS, st.one_of(VALUES, st.none()), max_size=12)


@given(st.lists(BATCH, max_size=6))
def test_the_root_follows_from_what_is_in_the_map_alone(
    batches: list[dict[bytes, bytes | None]],
) -> None:
    grown, model = Map(), dict[bytes, bytes]()
    for batch in batches:
        grown.put(batch)
        model |= {key: value for key, value in batch.items() if value is not None}
        model = {key: value for key, value in model.items() if batch.get(key, b"") is not None}
        assert grown.root == naive_root(model)
    at_once = Map()
    at_once.put(dict(model))
    grown.nodes.setdefault("", merkle_map.new_node())
    at_once.nodes.setdefault("", merkle_map.new_node())
    assert at_once.nodes == grown.nodes  # not a node too many either


@given(st.dictionaries(KEYS, VALUES, max_size=30), KEYS)
def test_what_is_there_and_what_is_not_can_be_proved(held: dict[bytes, bytes], key: bytes) -> None:
    made = Map()
    made.put(dict(held))
    value, proof = merkle_map.find(made.load, key)
    assert value == held.get(key)
    assert merkle_map.root_from(key, value, proof) == made.root


@given(st.dictionaries(KEYS, VALUES, max_size=30), KEYS, VALUES)
def test_a_proof_proves_nothing_else(held: dict[bytes, bytes], key: bytes, wrong: bytes) -> None:
    made = Map()
    made.put(dict(held))
    value, proof = merkle_map.find(made.load, key)
    assume(wrong != value)
    for claimed in (wrong, None if value else wrong):
        assert leads(key, claimed, MapProof(proof.path)) != made.root
        assert leads(key, claimed, proof) != made.root


def leads(key: bytes, value: bytes | None, proof: MapProof) -> bytes | None:
    try:
        return merkle_map.root_from(key, value, proof)
    except BadProof:
        return None


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=20), KEYS, st.data())
def test_an_altered_byte_of_a_proof_leads_elsewhere(
    held: dict[bytes, bytes], key: bytes, data: st.DataObject
) -> None:
    made = Map()
    made.put(dict(held))
    value, proof = merkle_map.find(made.load, key)
    level = data.draw(st.integers(0, len(proof.path) - 1))
    others = [*proof.path[level]]
    at = data.draw(st.integers(0, len(others) - 1))
    flipped = bytearray(others[at] or EMPTY)
    flipped[data.draw(st.integers(0, 31))] ^= 1 << data.draw(st.integers(0, 7))
    others[at] = bytes(flipped)
    altered = [*proof.path[:level], others, *proof.path[level + 1 :]]
    assert leads(key, value, MapProof(altered, proof.other)) != made.root
    assert leads(key, value, MapProof(proof.path[:-1], proof.other)) != made.root
    assert leads(key, value, MapProof([*proof.path, others], proof.other)) != made.root


def test_the_other_leaf_must_be_at_the_place_of_the_key() -> None:
    made = Map()
    made.put({hashed(1): bytes(32)})
    absent = next(hashed(n) for n in range(2, 99) if hashed(n).hex()[0] == hashed(1).hex()[0])
    value, proof = merkle_map.find(made.load, absent)
    assert value is None
    assert proof.other == (hashed(1), bytes(32))
    elsewhere = next(hashed(n) for n in range(2, 99) if hashed(n).hex()[0] != hashed(1).hex()[0])
    for key, claimed in ((elsewhere, None), (hashed(1), None), (absent, bytes(32))):
        with pytest.raises(BadProof, match=r"other leaf|another leaf"):
            merkle_map.root_from(key, claimed, proof)
    for path in ([], [[EMPTY] * 15] * 65):
        with pytest.raises(BadProof, match="too"):
            merkle_map.root_from(absent, None, MapProof(path))


def test_leaves_and_nodes_cannot_be_taken_for_each_other_or_for_the_logs() -> None:
    domains = [LEAF_DOMAIN, NODE_DOMAIN]
    assert all(domain[0] > 1 and domain.endswith(b"\0") for domain in domains)
    assert not LEAF_DOMAIN.startswith(NODE_DOMAIN)


def test_changes_of_a_batch_share_what_is_above_them() -> None:
    made = Map()
    made.put({hashed(number): bytes(32) for number in range(3000)})
    made.asked.clear()
    made.put({hashed(number): bytes([1] * 32) for number in range(100)})
    assert len(made.asked) == len(set(made.asked))
    assert len(made.asked) < 1 + 16 + 2 * 100


def test_a_node_made_and_removed_in_one_batch_is_not_stored() -> None:
    stays, comes = bytes.fromhex("ab" * 32), bytes.fromhex("ac" * 32)
    held = Map()
    held.put({stays: b"1"})
    made = merkle_map.update(held.load, {comes: becomes(b"2"), stays: becomes(None)})
    assert made.keys() == {merkle_map.ROOT}
    held.put({comes: b"2", stays: None})
    assert held.root == naive_root({comes: b"2"})


def test_a_known_answer() -> None:
    """So that other implementations can be compared."""
    made = Map()
    assert made.root.hex() == KNOWN[0]
    made.put({hashed(number): hashed(number + 1000) for number in range(100)})
    assert made.root.hex() == KNOWN[1]


KNOWN = (
    "f7fae947a8812e1b6bf22c6a82c469e7662d5fd59870e050798043669db54112",
    "e7c52f99a792dd8db0a2e7752c8c23e94d25f956443dbd5f26695db1f003ed68",
)
