"""A block proves each of its entries, and nothing that is not in it."""

from pathlib import Path
from typing import Any

import pytest

from cinesync.ledger.model import StoredProof, ValidatorsAway
from cinesync.ledger.queries import LedgerQueries
from cinesync.ledger.submitter import certified
from cinesync.pbft.messages import Attestation, EpochLinks
from cinesync.proofs import block_proof, merkle_log, receipts
from cinesync.proofs.block_proof import BlockProof
from cinesync.proofs.epochs import Epochs
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.validator import home, provisioning
from cinesync.validator.certify import _certificate, certify_block
from cinesync.validator.network.client import Appended, LedgerClient
from cinesync.validator.network.query_client import NoQuorum
from tests.support.ledger_chains import MemoryChain, entry

SIZES = (1, 2, 3, 7, 8, 13)


def grown(before: int, count: int) -> tuple[MemoryChain, BlockProof]:
    """A chain whose last block begins at entry `before`."""
    chain = MemoryChain()
    if before:
        chain.grow(*(entry(number) for number in range(before)))
    peaks = list(chain.log.peaks)
    added = [entry(number) for number in range(before, before + count)]
    header = chain.grow(*added)
    return chain, BlockProof(header, peaks, [merkle_log.leaf_hash(one.encode()) for one in added])


@pytest.mark.parametrize("before", [0, *SIZES])
@pytest.mark.parametrize("count", SIZES)
def test_every_entry_of_a_block_gets_its_receipt(before: int, count: int) -> None:
    chain, block = grown(before, count)
    certificate = chain.certify(block.header)
    for index in range(before, before + count):
        data = entry(index).encode()
        assert block.holds(index, data)
        receipt = block.receipt(chain.genesis, [], certificate, data, index)
        assert receipts.verify(receipt.encode(), chain.genesis).index == index
        assert list(receipt.path) == list(chain.receipt(index).path)


def test_a_block_holds_nothing_else() -> None:
    _, block = grown(5, 3)
    assert not block.holds(4, entry(4).encode())
    assert not block.holds(8, entry(8).encode())
    assert not block.holds(6, entry(5).encode())


def told(block: BlockProof, **changes: Any) -> dict[str, Any]:
    hashes = {"peaks": b"".join(block.peaks).hex(), "leaves": b"".join(block.leaves).hex()}
    return {"header": block.header.to_json()} | hashes | changes


def test_peaks_and_leaves_that_do_not_match_the_header_are_refused() -> None:
    _, block = grown(5, 3)
    assert block_proof.from_json(told(block)) == block
    wrong_answers = (
        {"leaves": "00" * 96},
        {"leaves": "00" * 32 * 9},
        {"leaves": "00" * 31},
        {"peaks": ""},
        {"peaks": 7},
        {"header": None},
    )
    for wrong in wrong_answers:
        with pytest.raises(InvalidDocument):
            block_proof.from_json(told(block, **wrong))


# from the validators


@pytest.fixture
def client(tmp_path: Path) -> LedgerClient:
    provisioning.init(tmp_path, ["127.0.0.1:1"] * 4)
    return LedgerClient(home.load(provisioning.client_home(tmp_path)))


def appended(chain: MemoryChain, block: BlockProof, *signers: int) -> Appended:
    height = block.header.height
    signed = chain.certify(block.header, signers).signatures
    digest = block.header.hash
    words = [Attestation(at, word, 0, height, digest) for at, word in signed.items()]
    return Appended(height, [], words)


def answers(client: LedgerClient, monkeypatch: pytest.MonkeyPatch, *said: Any) -> list[int]:
    """What each validator says; who was asked comes back."""
    asked: list[int] = []

    async def query(replica: int, *_: Any, **__: Any) -> Any:
        asked.append(replica)
        return said[replica]

    monkeypatch.setattr(client, "query", query)
    return asked


async def test_one_validators_block_proof_is_enough_with_a_quorum_of_attestations(
    client: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, block = grown(5, 3)
    client.epochs = Epochs(chain.genesis)
    asked = answers(client, monkeypatch, *[told(block)] * 4)
    found, certificate = await certify_block(client, appended(chain, block, 1, 2, 3))
    assert (found, sorted(certificate.signatures), asked) == (block, [1, 2, 3], [1])


async def test_a_wrong_block_proof_is_skipped(
    client: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, block = grown(5, 3)
    _, older = grown(0, 5)
    client.epochs = Epochs(chain.genesis)
    asked = answers(client, monkeypatch, None, told(older), told(block, peaks=""), told(block))
    found, _ = await certify_block(client, appended(chain, block, 0, 1, 2))
    assert (found, asked) == (block, [0, 1, 2, 3])
    answers(client, monkeypatch, None, None, None, None)
    with pytest.raises(NoQuorum, match="no validator proves block 2"):
        await certify_block(client, appended(chain, block, 0, 1, 2))


async def test_missing_attestations_are_queried(
    client: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, block = grown(5, 3)
    other = MemoryChain()
    other.grow(entry(1))
    forged = other.grow(entry(2))
    client.epochs = Epochs(chain.genesis)

    async def certify(_: int) -> Any:
        return block.header, chain.certify(block.header)

    monkeypatch.setattr(client, "certify", certify)
    wrong = {"header": forged.to_json(), "peaks": "", "leaves": ""}
    wrong["peaks"] = merkle_log.leaf_hash(entry(1).encode()).hex()
    wrong["leaves"] = merkle_log.leaf_hash(entry(2).encode()).hex()
    answers(client, monkeypatch, wrong, *[told(block)] * 3)
    found, certificate = await certify_block(client, appended(chain, block, 0, 1))
    assert (found, sorted(certificate.signatures)) == (block, [0, 1, 2])


async def test_a_receipt_of_a_later_epoch_has_the_links(
    client: LedgerClient,
) -> None:
    """Which is kept, so that no validator needs to be there to say it again."""
    chain = MemoryChain()
    chain.grow(entry(1))
    chain.elect((1, 2, 3, 4))
    peaks = list(chain.log.peaks)
    block = BlockProof(chain.grow(entry(2)), peaks, [merkle_log.leaf_hash(entry(2).encode())])
    certificate = chain.certify(block.header, (1, 2, 3))
    kept = StoredProof(entry=entry(2).encode(), receipt=None, block=certified(block, certificate))
    client.epochs, client.genesis = Epochs(chain.genesis), chain.genesis
    with pytest.raises(ValidatorsAway):
        LedgerQueries(client).receipt(kept)
    client._receive_links(EpochLinks(tuple(chain.links)))
    made = LedgerQueries(client).receipt(kept)
    assert receipts.verify(made.encode(), chain.genesis).index == 1
    assert list(home.load_links(client._folder)) == chain.links
    (client._folder / provisioning.LINKS_FILE).write_bytes(b"damaged")
    assert list(home.load_links(client._folder)) == []
    home.store_links(client._folder / "elsewhere", chain.links)  # a folder that cannot be written


async def test_attestations_of_an_unknown_set_are_queried_again(client: LedgerClient) -> None:
    chain, block = grown(5, 3)
    assert _certificate(client, block.header, chain.certify(block.header).signatures) is None
