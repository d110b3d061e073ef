"""The explorer: what the chain says, how a tree is drawn, and what happens when nobody answers."""

import html
import json
import re
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from flask.testing import FlaskClient

from cinesync.chassis.http.cursor import Page
from cinesync.ledger.schemas import BlockView, StatusView
from cinesync.proofs import completeness, merkle_log
from cinesync.web.explorer import tree
from cinesync.web.explorer.tree import NodeRole
from cinesync.web.ledger_models import LedgerBlock, LedgerStatus, LogEntry, ValidatorSummary
from tests.support.fake_apis import api, booking
from tests.support.fake_apis import ledger as fake_ledger
from tests.support.fake_apis.ledger import BOOKING, FakeLedger, ledger_entry
from tests.support.fake_apis.state import SHOW, FakeApis, id_of
from tests.support.ledger_chains import entry

EVENT, OTHER = id_of("event 0"), id_of("event 1")


def text_of(page: str) -> str:
    """What a reader sees."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


# the overview


def test_blocks_come_newest_first_and_without_scripts(visitor: FlaskClient) -> None:
    page = visitor.get("/ledger")
    assert page.status_code == 200
    heights = re.findall(r'href="/ledger/blocks/(\d+)"', page.text)
    assert heights == ["6", "5", "4", "3", "2", "1"]
    assert "the log now has 1 entry" in text_of(page.text)


def test_older_blocks_are_one_link_away(
    visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinesync.web.explorer.views.BLOCKS_PER_PAGE", 4)
    page = visitor.get("/ledger").text
    (older,) = re.findall(r'href="(/ledger\?after=[^"]+)"', page)
    second = visitor.get(html.unescape(older)).text
    assert re.findall(r'href="/ledger/blocks/(\d+)"', second) == ["2", "1"]
    assert "Newest blocks" in second
    assert "data-now" not in second


def test_the_overview_names_the_chain_and_its_root(
    visitor: FlaskClient, ledger: FakeLedger
) -> None:
    page = visitor.get("/ledger").text
    assert ledger.chain.genesis.chain.hex() in page
    assert ledger.chain.blocks[-1].root.hex() in page


def test_each_validator_says_in_words_how_it_stands(
    visitor: FlaskClient, ledger: FakeLedger
) -> None:
    ledger.reports[0] = {"height": 4}
    ledger.reports[2] = {"active": False}
    ledger.silent = {3}
    ledger.waiting = 2
    text = text_of(visitor.get("/ledger").text)
    assert "Validator 0 … Behind View 5 Height 4 Behind by 2" in text
    assert "Validator 1 ✓ In step ★ Primary" in text
    assert "Validator 2 ⇄ Changing view" in text
    assert "Validator 3 ✕ Not answering" in text
    assert "3 of 4 validators answer, and 3 must agree on a block." in text
    assert "2 entries wait to be added" in text


def test_a_validator_that_abstains_says_so(visitor: FlaskClient, ledger: FakeLedger) -> None:
    ledger.reports[1] = {"abstaining": True}
    assert "Validator 1 ! Abstaining" in text_of(visitor.get("/ledger").text)


def test_below_a_quorum_the_page_says_that_no_block_can_be_added(
    visitor: FlaskClient, ledger: FakeLedger
) -> None:
    ledger.silent = {2, 3}
    assert "No block can be added" in visitor.get("/ledger").text
    ledger.silent = {1, 2, 3}
    page = visitor.get("/ledger")
    assert page.status_code == 200
    assert "1 of 4 validators answers" in text_of(page.text)
    assert "Too few validators answer to say what the newest blocks are" in page.text


def test_one_validator_alone_cannot_name_the_primary_or_the_height() -> None:
    liar = ValidatorSummary(3, answers=True, view=99, primary=3, height=10**9)
    honest = [ValidatorSummary(at, answers=True, view=5, primary=1, height=7) for at in range(3)]
    assert LedgerStatus("c", 7, 0, [*honest, liar]).primary == 1
    assert (
        LedgerStatus(
            "c", None, 0, [ValidatorSummary(0), ValidatorSummary(1), ValidatorSummary(2), liar]
        ).primary
        is None
    )


def test_an_empty_chain_says_how_its_first_block_is_made(
    visitor: FlaskClient, ledger: FakeLedger
) -> None:
    ledger.chain.blocks.clear()
    assert "The first purchase makes one" in visitor.get("/ledger").text


def test_the_latest_part_is_the_one_in_the_page(visitor: FlaskClient, ledger: FakeLedger) -> None:
    before = visitor.get("/ledger/now").text
    assert before in visitor.get("/ledger").text
    ledger.grow(ledger_entry(900, "payment.refunded"))
    assert 'data-height="7"' in visitor.get("/ledger/now").text


# blocks and their trees


def test_a_block_shows_its_header_and_who_signed_it(
    visitor: FlaskClient, ledger: FakeLedger
) -> None:
    page = visitor.get("/ledger/blocks/3").text
    header = ledger.chain.blocks[2]
    for digest in (header.hash, header.previous, header.entries_root, header.root, header.map_root):
        assert digest.hex() in page
    assert "validators 0, 1, 2 of epoch 0" in page
    assert 'href="/ledger/blocks/2"' in page
    assert 'href="/ledger/blocks/4"' in page


def test_a_trees_root_is_the_one_that_the_validators_signed(visitor: FlaskClient) -> None:
    for height in (1, 2, 3, 4, 5):
        text = text_of(visitor.get(f"/ledger/blocks/{height}").text)
        assert "✓ Right" in text


def test_an_altered_entry_is_seen_in_its_block(visitor: FlaskClient, ledger: FakeLedger) -> None:
    ledger.chain.entries[5] = ledger_entry(5, "payment.refunded")
    text = text_of(visitor.get("/ledger/blocks/3").text)
    assert "✕ Wrong : these entries do not lead to the root" in text


def test_an_entrys_path_is_marked_by_shape_and_words(visitor: FlaskClient) -> None:
    page = visitor.get(f"/ledger/blocks/3?entry={id_of('event 7')}").text
    assert page.count('class="edge is-lit"') == 4
    assert page.count('class="node is-proof"') == 4
    assert page.count('class="ring"') == 1
    assert "hashed with the 4 hashes marked ■" in page
    assert "Path highlighted" in page


def test_a_lone_entry_is_its_own_root(visitor: FlaskClient) -> None:
    assert "its hash is the root" in visitor.get(f"/ledger/blocks/1?entry={EVENT}").text
    assert "with the one marked ■" in visitor.get(f"/ledger/blocks/2?entry={OTHER}").text


def test_a_large_tree_is_drawn_with_collapsed_nodes(visitor: FlaskClient) -> None:
    page = visitor.get("/ledger/blocks/4").text
    assert "A triangle stands for many entries" in page
    assert page.count("<g ") == 15
    lit = visitor.get(f"/ledger/blocks/4?entry={id_of('event 30')}").text
    assert "Entry 17, in the double ring" in lit
    assert lit.count("<g ") == 13


def test_a_large_blocks_entries_come_in_pages(
    visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinesync.web.explorer.views.ENTRIES_PER_PAGE", 15)
    chosen = visitor.get(f"/ledger/blocks/4?entry={id_of('event 30')}").text
    assert "Entries 16 to 30 of 40" in chosen
    assert 'href="/ledger/blocks/4?from=30"' in chosen
    assert 'href="/ledger/blocks/4?from=0"' in chosen
    assert "Entries 31 to 40 of 40" in visitor.get("/ledger/blocks/4?from=30").text
    assert visitor.get("/ledger/blocks/4?from=-5").status_code == 200


def test_a_block_without_entries_says_why(visitor: FlaskClient) -> None:
    assert "This block has no entries" in visitor.get("/ledger/blocks/6").text


@pytest.mark.parametrize("height", ["0", "99", "9007199254740993"])
def test_a_block_that_is_not_there_leads_back(visitor: FlaskClient, height: str) -> None:
    assert visitor.get(f"/ledger/blocks/{height}").status_code == 404


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 16, 17, 64, 100, 1000])
def test_a_drawing_has_exactly_the_nodes_of_the_proof(size: int) -> None:
    leaves = [merkle_log.leaf_hash(b"%d" % at) for at in range(size)]
    nodes: dict[tuple[int, int], bytes] = {}
    grown = merkle_log.Frontier()
    for leaf in leaves:
        nodes |= {(level, at): node for level, at, node in grown.append(leaf)}
    for chosen in {0, size // 2, size - 1}:
        picture = tree.draw(leaves, chosen)
        assert picture is not None
        assert picture.root.hash == grown.root()
        proof = merkle_log.inclusion(chosen, size, lambda level, at: nodes[level, at])
        assert [node.hash for node in picture.proof] == proof
        assert sum(node.role is NodeRole.CHOSEN for node in picture.nodes) == 1
        assert sum(edge.is_on_path for edge in picture.edges) == len(proof)
        assert len(picture.nodes) <= 2 * max(tree.FULL_LEAVES_MAX, len(proof) + 1)


def test_nodes_of_one_row_do_not_overlap() -> None:
    picture = tree.draw([bytes(32)] * 16)
    assert picture is not None
    for row in {node.y for node in picture.nodes}:
        places = sorted(node.x for node in picture.nodes if node.y == row)
        assert all(b - a >= 54 for a, b in pairwise(places))
        assert places[0] >= 30
        assert places[-1] <= picture.width - 30


def test_no_leaves_make_no_drawing() -> None:
    assert tree.draw([]) is None


def test_leaves_are_hashed_like_the_ledgers(ledger: FakeLedger) -> None:
    one, header = entry(3), ledger.chain.blocks[0]
    shown = LedgerBlock(header, [LogEntry(0, 1, one)])
    assert shown.leaves == [merkle_log.leaf_hash(one.encode())]


# entries, bookings, receipts


def test_an_entry_comes_with_its_receipt(visitor: FlaskClient, ledger: FakeLedger) -> None:
    page = visitor.get(f"/ledger/entries/{EVENT}").text
    assert embedded(page, "receipt") == [ledger.chain.receipt(0).encode().decode()]
    assert embedded(page, "genesis") == [ledger.chain.genesis.encode().decode()]
    assert f'href="/api/ledger/receipts/{EVENT}"' in page
    assert f'href="/ledger/blocks/1?entry={EVENT}#tree"' in page


def embedded(page: str, name: str) -> list[str]:
    return [html.unescape(text) for text in re.findall(f'data-{name}="([^"]*)"', page)]


def test_an_unknown_entry_leads_back_to_the_ledger(visitor: FlaskClient) -> None:
    page = visitor.get(f"/ledger/entries/{id_of('nothing')}")
    assert page.status_code == 404
    assert "There is no receipt for this event." in page.text
    assert "To the ledger" in page.text


def test_a_ticket_leads_to_its_entries(customer: FlaskClient, apis: FakeApis) -> None:
    customer.post(f"/shows/{SHOW}/hold", data={"seat": "C1"})
    (booking_id,) = apis.bookings
    booking.confirm(apis, booking_id)
    assert f'href="/ledger/bookings/{booking_id}"' in customer.get(f"/bookings/{booking_id}").text
    customer.post(f"/bookings/{booking_id}/cancel")
    assert f'href="/ledger/bookings/{booking_id}"' in customer.get(f"/bookings/{booking_id}").text


def test_a_ticket_says_in_which_block_it_is(customer: FlaskClient, apis: FakeApis) -> None:
    customer.post(f"/shows/{SHOW}/hold", data={"seat": "C1"})
    (booking_id,) = apis.bookings
    booking.confirm(apis, booking_id)
    assert "Recorded" not in customer.get(f"/bookings/{booking_id}").text
    place = {"event_id": EVENT, "height": 2, "index": 1}
    apis.bookings[booking_id] |= {"receipt": place}
    page = customer.get(f"/bookings/{booking_id}").text
    assert "Recorded in block 2 — verify" in text_of(page)
    assert f'href="/ledger/blocks/2?entry={EVENT}#tree"' in page


def test_a_booking_shows_all_its_entries_and_how_many_validators_agree(
    visitor: FlaskClient, ledger: FakeLedger
) -> None:
    page = visitor.get(f"/ledger/bookings/{BOOKING}").text
    text = text_of(page)
    assert "The ledger has 2 entries of this booking" in text
    assert text.index("Payment success") < text.index("Booking confirmed")
    receipts = [ledger.chain.receipt(at).encode().decode() for at in (0, 1)]
    assert embedded(page, "receipt") == receipts
    ledger.has_no_proofs = True
    text = text_of(visitor.get(f"/ledger/bookings/{BOOKING}").text)
    assert "2 of 4 validators returned this list, and at most 1 may be dishonest" in text


def test_a_booking_comes_with_the_proof_that_nothing_is_missing(
    visitor: FlaskClient, ledger: FakeLedger
) -> None:
    page = visitor.get(f"/ledger/bookings/{BOOKING}").text
    (proof,) = embedded(page, "all")
    assert len(completeness.verify(proof.encode(), ledger.chain.genesis).entries) == 2
    assert f'href="/api/ledger/proofs/booking/{BOOKING}"' in page


def test_a_booking_is_shown_before_its_receipts_are_ready(
    visitor: FlaskClient, ledger: FakeLedger
) -> None:
    ledger.without_receipt.add(id_of("event 1"))
    page = visitor.get(f"/ledger/bookings/{BOOKING}").text
    assert len(embedded(page, "receipt")) == 1
    assert "Its receipt is not ready yet" in page


def test_a_booking_of_very_many_entries_keeps_its_page_small(
    visitor: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cinesync.web.explorer.views.RECEIPTS_SHOWN_MAX", 1)
    page = visitor.get(f"/ledger/bookings/{BOOKING}").text
    assert len(embedded(page, "receipt")) == 1
    assert "Its receipt is on" in page


def test_a_booking_without_entries_says_that_they_follow(visitor: FlaskClient) -> None:
    page = visitor.get(f"/ledger/bookings/{id_of('fresh')}")
    assert page.status_code == 200
    assert "no entry of this booking yet" in page.text


def test_the_page_that_verifies_comes_with_the_genesis(
    visitor: FlaskClient, ledger: FakeLedger
) -> None:
    page = visitor.get("/verify").text
    assert embedded(page, "genesis") == [ledger.chain.genesis.encode().decode()]
    assert "cinesync verify receipt.json" in page


def test_a_genesis_once_seen_stays_pinned(visitor: FlaskClient, apis: FakeApis) -> None:
    first = embedded(visitor.get("/verify").text, "genesis")
    apis.fail("/api/ledger", 503)
    assert embedded(visitor.get("/verify").text, "genesis") == first


# when the ledger is away

PAGES = ("/ledger", "/ledger/blocks/1", f"/ledger/entries/{EVENT}", f"/ledger/bookings/{BOOKING}")


@pytest.mark.parametrize("path", PAGES)
def test_an_unavailable_ledger_has_a_page_of_its_own(
    visitor: FlaskClient, apis: FakeApis, path: str
) -> None:
    apis.fail("/api/ledger", 503)
    page = visitor.get(path)
    assert page.status_code == 503
    assert page.headers["Retry-After"] == "5"
    assert "The ledger does not answer right now. You can buy" in page.text


def test_a_shop_without_a_ledger_has_the_same_page(visitor: FlaskClient, apis: FakeApis) -> None:
    apis.fail("/api/ledger", 404)
    apis.faults["/api/ledger"].body.pop("type")
    assert visitor.get("/ledger").status_code == 503


def test_the_latest_part_says_that_the_ledger_is_unavailable(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    apis.fail("/api/ledger", 503)
    page = visitor.get("/ledger/now")
    assert page.status_code == 200
    assert "The ledger does not answer right now" in page.text
    apis.fail("/api/ledger", 422)
    assert visitor.get("/ledger/now").status_code == 422


def test_an_unreadable_response_of_the_ledger_is_no_receipt(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    apis.garbled.add("/api/ledger")
    assert visitor.get(f"/ledger/entries/{EVENT}").status_code == 503
    assert embedded(visitor.get("/verify").text, "genesis") == [""]


def test_verifying_does_not_need_the_ledger(visitor: FlaskClient, apis: FakeApis) -> None:
    apis.fail("/api/ledger", 503)
    page = visitor.get("/verify")
    assert page.status_code == 200
    assert "so this page has no genesis" in page.text


def test_tickets_do_not_need_the_ledger(customer: FlaskClient, apis: FakeApis) -> None:
    apis.fail("/api/ledger", 503)
    customer.post(f"/shows/{SHOW}/hold", data={"seat": "C1"})
    (booking_id,) = apis.bookings
    booking.confirm(apis, booking_id)
    page = customer.get(f"/bookings/{booking_id}")
    assert page.status_code == 200
    assert "Show this at the entrance" in page.text
    assert apis.sent("/api/ledger/entries") == []


# the contract


@pytest.mark.parametrize("path", [*PAGES, "/verify", f"/ledger/blocks/3?entry={id_of('event 7')}"])
def test_nothing_is_inline(visitor: FlaskClient, path: str) -> None:
    page = visitor.get(path).text
    assert not re.search(r"<[^>]+\son\w+=", page)
    assert not re.search(r"<[^>]+\sstyle=", page)
    assert not re.search(r"<script(?![^>]*\ssrc=)", page)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("status", StatusView), ("blocks?limit=3", Page[BlockView]), ("blocks/3", BlockView)],
)
def test_the_fake_ledger_returns_what_the_ledger_returns(
    apis: FakeApis, ledger: FakeLedger, path: str, kind: type[Any]
) -> None:
    """Read into the service's own views and written again, nothing is lost or added."""
    answer = api.build(apis, ledger).test_client().get(f"/api/ledger/{path}").data
    view = msgspec.json.decode(answer, type=kind)
    assert json.loads(msgspec.json.encode(view)) == json.loads(answer)


def test_the_fake_ledger_is_a_real_chain() -> None:
    made = fake_ledger.create_ledger()
    assert made.log_entry(13)["height"] == 3
    assert made.log_entry(14)["height"] == 4
