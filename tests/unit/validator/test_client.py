"""A client among validators of whom one wrong_answers: it is not believed, and nothing breaks."""

from pathlib import Path
from typing import Any

import pytest

from cinesync.ledger import queries
from cinesync.ledger.model import ValidatorsAway
from cinesync.pbft.messages import CLIENT_WINDOW
from cinesync.proofs import merkle_map, subjects
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.receipts import HeaderCertificate
from cinesync.validator import certify, home, provisioning
from cinesync.validator.network.client import LedgerClient
from cinesync.validator.network.query_client import NoQuorum, _attests
from tests.support.ledger_chains import MemoryChain, entry

STATUS = {
    "replica": 1,
    "epoch": 0,
    "view": 3,
    "primary": 3,
    "active": True,
    "abstaining": False,
    "height": 7,
    "stable": 0,
    "pending": 0,
    "size": 9,
}
HALF = {"index": 0, "entry": "\ud800"}  # half a pair is no text
WRONG_ANSWERS: list[Any] = [
    None,
    7,
    1.5,
    "no",
    [],
    {},
    {"height": "high"},
    STATUS | {"height": 10**12},
]


@pytest.fixture
def client(tmp_path: Path) -> LedgerClient:
    provisioning.init(tmp_path, ["127.0.0.1:1"] * 4)
    return LedgerClient(home.load(provisioning.client_home(tmp_path)))


def say(client: LedgerClient, monkeypatch: pytest.MonkeyPatch, *answers: Any) -> None:
    """What the validators answer to everything, one after the other."""

    async def query_all(*_: Any, **__: Any) -> dict[int, Any]:
        return dict(enumerate(answers))

    async def query(replica: int, *_: Any, **__: Any) -> Any:
        return answers[replica]

    monkeypatch.setattr(client, "query_all", query_all)
    monkeypatch.setattr(client, "query", query)


@pytest.mark.parametrize("at", range(len(WRONG_ANSWERS)))
async def test_one_byzantine_validator_cannot_move_the_height(
    client: LedgerClient, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    say(client, monkeypatch, STATUS, WRONG_ANSWERS[at], STATUS, STATUS)
    assert await queries.LedgerQueries(client).height() == 7
    assert await client.query_agreed("status") == STATUS
    await client._find_primary()
    assert client._primary == 3


async def test_too_few_equal_answers_are_no_answer(
    client: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(client, monkeypatch, STATUS, "wrong", 5, None)
    assert await client.query_agreed("status") is None
    with pytest.raises(ValidatorsAway):
        await queries.LedgerQueries(client).height()
    await client._find_primary()
    assert client._primary is None


async def test_wrong_entries_and_paths_make_no_receipt(
    client: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MemoryChain()
    header = made.grow(entry(1))
    certificate = made.certify(header, (0, 1, 2, 3))
    wrong_answers = [{"index": 0, "entry": 7}, {"index": -1, "entry": "{}"}, "no", {"index": 0}]
    say(client, monkeypatch, *wrong_answers)
    with pytest.raises(NoQuorum, match="no validator proves event"):
        await client.receipts(header, certificate, [entry(1).event_id])
    with pytest.raises(NoQuorum, match="that 1 begins 1"):
        await client.consistency(header, header)


async def test_wrong_or_old_answers_make_no_completeness_proof(
    client: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinesync.validator.network.query_client.CERTIFY_TRIES_MAX", 1)
    made = MemoryChain(genesis=client.genesis)
    made.grow(entry(1))

    async def known(_height: int) -> HeaderCertificate:
        return made.certify(made.blocks[-1])

    async def header(_height: int) -> BlockHeader:
        return made.blocks[-1]

    monkeypatch.setattr(client, "header", header)
    _, proof = merkle_map.find(made.map_nodes, subjects.key_of(entry(1).booking_id))
    path = [[node.hex() or None for node in level] for level in proof.path]
    told = {"height": 1, "path": path, "other": None}
    listed = [{"index": 0, "height": 1, "entry": entry(1).encode().decode()}]
    wrong_answers = [told | {"entries": some} for some in ([], [{"index": 0, "entry": 7}], [HALF])]
    say(client, monkeypatch, *wrong_answers, "no")
    with pytest.raises(NoQuorum, match="no validator proves the entries"):
        await certify.prove_completeness(client, entry(1).booking_id, 1, known)
    say(client, monkeypatch, *([told | {"entries": listed}] * 4))
    with pytest.raises(NoQuorum, match="no validator proves the entries"):
        await certify.prove_completeness(client, entry(1).booking_id, 2, known)


async def test_wrong_signatures_make_no_certificate(
    client: LedgerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinesync.validator.network.query_client.CERTIFY_TRIES_MAX", 1)
    header = MemoryChain().grow(entry(1)).to_json()
    say(client, monkeypatch, [header], [header], [header], [header])
    with pytest.raises(NoQuorum, match="no certificate for height 1"):
        await client.certify(1)
    for word in ({"signature": "zz"}, {"signature": 7}, {}, None, {"signature": "00" * 64}):
        assert not _attests(client.configuration, MemoryChain().grow(entry(1)), 0, word)


async def test_dropped_requests_do_not_use_the_window(client: LedgerClient) -> None:
    for _ in range(CLIENT_WINDOW):
        client._pbft.submit((entry(1).encode(),))
    assert client._pbft.window_left == 0
    client.start_sequences_at(10**9)
    assert client._pbft.window_left == CLIENT_WINDOW
    assert client._pbft.next_sequence == 10**9
    client.start_sequences_at(1)
    assert client._pbft.next_sequence == 10**9
