"""Trees: the public known answers, and a model that follows the RFC's words."""

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinesync.proofs import merkle_log
from cinesync.proofs.merkle_log import BadProof

# The test tree of transparency-dev/merkle (and, before it, of Certificate Transparency).
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


class Grown:
    """A tree and the subtrees it was seen to complete."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.tree = merkle_log.Frontier()
        self.stored: dict[tuple[int, int], bytes] = {}
        for leaf in leaves:
            made = self.tree.append(leaf)
            self.stored |= {(level, index): node for level, index, node in made}

    def nodes(self, level: int, index: int) -> bytes:
        return self.stored[level, index]


def leaves(count: int) -> list[bytes]:
    return [merkle_log.leaf_hash(b"%d" % number) for number in range(count)]


def mth(hashes: Sequence[bytes]) -> bytes:
    """Section 2.1.1, word by word."""
    if len(hashes) <= 1:
        return hashes[0] if hashes else hashlib.sha256().digest()
    k = max(2**e for e in range(20) if 2**e < len(hashes))
    return hashlib.sha256(b"\x01" + mth(hashes[:k]) + mth(hashes[k:])).digest()


def path(m: int, hashes: Sequence[bytes]) -> list[bytes]:
    """Section 2.1.3.1, word by word."""
    if len(hashes) == 1:
        return []
    k = max(2**e for e in range(20) if 2**e < len(hashes))
    if m < k:
        return [*path(m, hashes[:k]), mth(hashes[k:])]
    return [*path(m - k, hashes[k:]), mth(hashes[:k])]


def subproof(m: int, hashes: Sequence[bytes], *, whole: bool) -> list[bytes]:
    """Section 2.1.4.1, word by word."""
    if m == len(hashes):
        return [] if whole else [mth(hashes)]
    k = max(2**e for e in range(20) if 2**e < len(hashes))
    if m <= k:
        return [*subproof(m, hashes[:k], whole=whole), mth(hashes[k:])]
    return [*subproof(m - k, hashes[k:], whole=False), mth(hashes[:k])]


def test_the_known_hash_of_a_leaf_and_of_a_node() -> None:
    assert merkle_log.leaf_hash(b"L123456").hex() == (
        "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"
    )
    assert merkle_log.node_hash(b"N123", b"N456").hex() == (
        "aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb"
    )


@pytest.mark.parametrize("size", range(9))
def test_the_known_roots_of_the_public_test_tree(size: int) -> None:
    hashes = [merkle_log.leaf_hash(data) for data in INPUTS]
    grown = Grown(hashes)
    assert merkle_log.root_of(hashes[:size]).hex() == ROOTS[size]
    assert merkle_log.root(size, grown.nodes).hex() == ROOTS[size]


def test_the_known_proofs_of_the_public_test_tree() -> None:
    grown = Grown([merkle_log.leaf_hash(data) for data in INPUTS])
    assert [node.hex()[:8] for node in merkle_log.inclusion(0, 8, grown.nodes)] == [
        "96a296d2",
        "5f083f0a",
        "6b47aaf2",
    ]
    assert [node.hex()[:8] for node in merkle_log.consistency(6, 8, grown.nodes)] == [
        "0ebc5d34",
        "ca854ea1",
        "d37ee418",
    ]


@settings(deadline=None)
@given(st.integers(1, 70).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_every_entry_is_proven_as_the_rfc_says(place: tuple[int, int]) -> None:
    index, size = place
    hashes, grown = leaves(size), Grown(leaves(75))
    proof = merkle_log.inclusion(index, size, grown.nodes)
    assert proof == path(index, hashes)
    assert merkle_log.root_from_inclusion(hashes[index], index, size, proof) == mth(hashes)


@settings(deadline=None)
@given(st.integers(1, 70).flatmap(lambda n: st.tuples(st.integers(1, n), st.just(n))))
def test_every_tree_is_proven_a_prefix_of_later_ones(sizes: tuple[int, int]) -> None:
    first, second = sizes
    hashes, grown = leaves(second), Grown(leaves(75))
    proof = merkle_log.consistency(first, second, grown.nodes)
    assert proof == subproof(first, hashes, whole=True)
    merkle_log.verify_consistency(first, second, mth(hashes[:first]), mth(hashes), proof)


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_a_tree_goes_on_from_its_right_edge(size: int, more: int) -> None:
    grown = Grown(leaves(size))
    tree = merkle_log.frontier(size, grown.nodes)
    for leaf in leaves(size + more)[size:]:
        tree.append(leaf)
    assert tree.root() == mth(leaves(size + more))


@settings(deadline=None)
@given(st.integers(2, 40).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_no_altered_inclusion_proof_leads_to_the_root(place: tuple[int, int]) -> None:
    index, size = place
    hashes = leaves(size)
    proof, root = path(index, hashes), mth(hashes)
    altered = [
        (hashes[index], index, size, proof[:-1]),
        (hashes[index], index, size, [*proof, bytes(32)]),
        (hashes[index], (index + 1) % size, size, proof),
        (bytes(32), index, size, proof),
        *(
            (hashes[index], index, size, [*proof[:at], bytes(32), *proof[at + 1 :]])
            for at in range(len(proof))
        ),
    ]
    for attempt in altered:
        try:
            assert merkle_log.root_from_inclusion(*attempt) != root
        except BadProof:
            continue


@settings(deadline=None)
@given(st.integers(2, 40).flatmap(lambda n: st.tuples(st.integers(1, n - 1), st.just(n))))
def test_no_altered_consistency_proof_passes(sizes: tuple[int, int]) -> None:
    first, second = sizes
    hashes = leaves(second)
    old, new = mth(hashes[:first]), mth(hashes)
    proof = subproof(first, hashes, whole=True)
    altered = [
        (first, second, old, new, proof[:-1]),
        (first, second, old, new, [*proof, bytes(32)]),
        (first, second, bytes(32), new, proof),
        (first, second, old, bytes(32), proof),
        (second, first, old, new, proof),
        *(
            (first, second, old, new, [*proof[:at], bytes(32), *proof[at + 1 :]])
            for at in range(len(proof))
        ),
    ]
    for attempt in altered:
        with pytest.raises(BadProof):
            merkle_log.verify_consistency(*attempt)


def test_the_empty_tree_begins_every_tree_and_a_tree_begins_itself() -> None:
    root = mth(leaves(3))
    merkle_log.verify_consistency(0, 3, merkle_log.EMPTY, root, [])
    merkle_log.verify_consistency(3, 3, root, root, [])
    with pytest.raises(BadProof, match="equal sizes"):
        merkle_log.verify_consistency(3, 3, root, bytes(32), [])
    with pytest.raises(BadProof, match="must be empty"):
        merkle_log.verify_consistency(3, 3, root, root, [root])


def test_there_is_no_proof_for_an_absent_entry() -> None:
    with pytest.raises(BadProof, match="a tree of 3 has no entry 3"):
        merkle_log.root_from_inclusion(bytes(32), 3, 3, [])


def test_names_count_and_the_odd_leaf_is_not_repeated() -> None:
    """Where the toy that came before gave different entries one root."""
    three, four = leaves(3), [*leaves(3), leaves(3)[2]]
    assert merkle_log.root_of(three) != merkle_log.root_of(four)
    assert merkle_log.leaf_hash(b'{"a":1}') != merkle_log.leaf_hash(b'{"b":1}')


@pytest.mark.parametrize("before", range(9))
@pytest.mark.parametrize("count", range(18))
def test_growing_by_many_leaves_at_once_is_growing_by_each(before: int, count: int) -> None:
    leaves = [merkle_log.leaf_hash(b"%d" % number) for number in range(before + count)]
    one, other = merkle_log.Frontier(), merkle_log.Frontier()
    for leaf in leaves[:before]:
        one.append(leaf)
    other.extend(leaves[:before])
    made = [node for leaf in leaves[before:] for node in one.append(leaf)]
    rows = other.extend(leaves[before:])
    grown = [
        (level, first + at, node)
        for level, first, row in rows
        for at, node in enumerate(merkle_log.split(row))
    ]
    assert sorted(grown) == sorted(made)
    assert (other.size, other.peaks, other.root()) == (one.size, one.peaks, one.root())
