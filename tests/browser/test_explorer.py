"""Receipts verified by a real browser: the rules of the ledger, with WebCrypto and no network."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import msgspec
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from cinesync.cli.proof_files import verify_file
from cinesync.pbft.messages import Configuration
from cinesync.proofs import canonical_json, completeness, fraud, receipts
from cinesync.proofs.receipts import Receipt
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.proofs.verify import VerifiedFile
from tests.support.fake_apis import ledger as fake_ledger
from tests.support.fake_apis.ledger import BOOKING, Ledger, an_entry
from tests.support.fake_apis.serve import serve
from tests.support.fake_apis.world import an_id
from tests.support.ledger_chains import MemoryChain, chain, entry, founders, replaced
from tests.unit.proofs import test_completeness, test_receipts
from tests.unit.proofs.test_fraud import forked
from tests.unit.proofs.test_receipts import DATA, GOOD, ValueUpdate, reformed

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

# Runs the scripts over files in base64; the answers are messages, null for a good one.
JUDGE = """async ([files, pin, isAll]) => {
  const { verify: verifyOne, loadGenesis } = await import("/static/explorer/verify.js");
  const { verifyAll } = await import("/static/explorer/completeness.js");
  const verify = isAll ? verifyAll : verifyOne;
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const pinned = pin === null ? null : loadGenesis(bytes(pin));
  const judge = (file) => verify(bytes(file), pinned).then(() => null, (error) => error.message);
  return Promise.all(files.map(judge));
}"""
STEP = 5  # every fifth byte of a receipt: half a second instead of three
CHANGES: list[ValueUpdate] = [
    case[0]
    for mark in test_receipts.test_a_refusal_says_what_and_where.pytestmark  # type: ignore[attr-defined]
    if mark.name == "parametrize"
    for case in mark.args[1]
]
FACTS = (
    b'"a":1.5', b'"a":1.0', b'"a":-0', b'"a":1e2', b'"a":NaN', b'"a":9007199254740993',
    b'"a":"\\ud800"', b'"a":"\\u00e9"', b'"__proto__":1', b'"A":1', b'"a":{}', b'"a":[1]',
    b'"a":' + b"[" * 40 + b"]" * 40, b'"a":1,"a":1',
)  # fmt: skip


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return fake_ledger.a_ledger()


@pytest.fixture(scope="module")
def url(ledger: Ledger) -> Iterator[str]:
    server = serve(0, ledger)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=[1280, 360])
def width(request: pytest.FixtureRequest) -> int:
    chosen: int = request.param
    return chosen


@contextmanager
def watched(browser: Browser, url: str) -> Iterator[tuple[BrowserContext, list[str]]]:
    """A window, and what went wrong in it: in the end, no script may have failed."""
    errors: list[str] = []
    made = browser.new_context(base_url=url, viewport={"width": 1280, "height": 800})
    made.on("weberror", lambda problem: errors.append(str(problem.error)))
    made.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    yield made, errors
    made.close()
    assert [text for text in errors if "ERR_INTERNET_DISCONNECTED" not in text] == []


@pytest.fixture
def context(browser: Browser, url: str) -> Iterator[BrowserContext]:
    """A test's own."""
    with watched(browser, url) as (made, _):
        yield made


@pytest.fixture
def page(context: BrowserContext) -> Page:
    opened = context.new_page()
    opened.goto("/verify")
    return opened


@pytest.fixture(scope="module")
def window(browser: Browser, url: str) -> Iterator[tuple[Page, list[str]]]:
    """One for all who only call its scripts: to open one takes a hundred times the call."""
    with watched(browser, url) as (made, errors):
        opened = made.new_page()
        opened.goto("/verify")
        yield opened, errors


@pytest.fixture
def judge(window: tuple[Page, list[str]]) -> Iterator[Page]:
    """Its scripts keep nothing from one call to the next."""
    opened, errors = window
    yield opened
    assert errors == []


def judged(
    page: Page, files: list[bytes], pinned: bytes | None = None, *, complete: bool = False
) -> list[str | None]:
    coded = [base64.b64encode(file).decode() for file in files]
    pin = None if pinned is None else base64.b64encode(pinned).decode()
    found: list[str | None] = page.evaluate(JUDGE, [coded, pin, complete])
    return found


def refusal(file: bytes, *, complete: bool = False) -> str | None:
    try:
        (completeness if complete else receipts).verify(file)
    except InvalidDocument as invalid:
        return str(invalid)
    return None


def where(message: str | None) -> str | None:
    return message and message.split(": ")[0]


def agree(page: Page, files: list[bytes], *, complete: bool = False) -> list[str | None]:
    """The browser refuses just what Python refuses, and for the same place."""
    said = judged(page, files, complete=complete)
    wanted = [refusal(file, complete=complete) for file in files]
    assert [where(one) for one in said] == [where(one) for one in wanted]
    assert not any(one and "\n" in one for one in said)
    return said


# good ones


def test_receipts_of_every_entry_are_good(judge: Page) -> None:
    made = chain()
    files = [made.receipt(index).encode() for index in range(11)]
    files.append(made.receipt(0, signers=(0, 1, 2, 3)).encode())
    assert judged(judge, files, made.genesis.encode()) == [None] * 12


def test_receipts_follow_the_validators_from_set_to_set(judge: Page) -> None:
    made = reformed()
    files = [made.receipt(4, signers=(2, 3, 4)).encode()]
    made.elect((4, 5, 6, 7), signers=(2, 3, 4))
    made.grow(entry(101))
    files.append(made.receipt(5, signers=(5, 6, 7)).encode())
    assert judged(judge, files, founders().encode()) == [None, None]


@pytest.mark.parametrize("size", [1, 2, 3, 64, 130])
def test_logs_of_any_size_verify(judge: Page, size: int) -> None:
    made = MemoryChain()
    made.grow(*(entry(number) for number in range(size)))
    files = [made.receipt(index).encode() for index in {0, size // 2, size - 1}]
    assert set(judged(judge, files)) == {None}


# altered ones


def test_an_altered_byte_is_refused_where_python_refuses_it(judge: Page) -> None:
    pieces = ((at, DATA[at]) for at in range(0, len(DATA), STEP))
    files = [
        DATA[:at] + piece + DATA[at + 1 :]
        for at, byte in pieces
        for piece in (bytes([byte ^ 1]), bytes([byte ^ 0x20]), b"")
    ]
    assert None not in agree(judge, files)


@pytest.mark.parametrize("change", CHANGES, ids=map(str, count()))
def test_a_refusal_has_pythons_words(judge: Page, change: ValueUpdate) -> None:
    value = GOOD.to_json()
    change(value)
    (said,) = agree(judge, [canonical_json.dump(value)])
    if where(said) != "receipt.entry":  # whose shape each tells in its own words
        assert said == refusal(canonical_json.dump(value))


def test_not_a_byte_may_be_added(judge: Page) -> None:
    added = [b" ", b"\n", b"\x00", b"{}", b"\xef\xbb\xbf", b"\xff"]
    files = [file for one in added for file in (DATA + one, one + DATA)]
    assert None not in agree(judge, [*files, b"", b"[]", b"7", b"null", b" " * 1_048_577])


def test_json_has_one_spelling(judge: Page) -> None:
    files = [DATA.replace(b'"facts":{', b'"facts":{' + fact + b",", 1) for fact in FACTS]
    assert None not in agree(judge, files)


def test_a_change_of_validators_is_checked_like_all_else(judge: Page) -> None:
    made = reformed()
    receipt = made.receipt(0, signers=(2, 3, 4))
    files = [made.receipt(0, signers=(0, 1, 2)).encode()]
    files += [replaced(receipt, links=links).encode() for links in ([], [*receipt.links] * 2)]
    usurped = chain(4)
    usurped.elect((4, 5, 6, 7), signers=(4, 5, 6))
    usurped.grow(entry(100))
    files.append(usurped.receipt(0, signers=(4, 5, 6)).encode())
    value: dict[str, Any] = receipt.to_json()
    (link,) = value["links"]
    for at in range(0, len(link), 7):
        digit = "0" if link[at] != "0" else "1"
        value["links"] = [link[:at] + digit + link[at + 1 :]]
        files.append(canonical_json.dump(value))
    assert None not in agree(judge, files)


def test_a_link_of_another_epoch_or_with_too_few_votes_is_no_link(judge: Page) -> None:
    early, few = chain(4), chain(4)
    early.configuration = Configuration(1, early.configuration.validators, ())
    early.elect((1, 2, 3, 4))
    few.elect((1, 2, 3, 4), signers=(0, 1))
    for made in (early, few):
        made.grow(entry(100))
    files = [made.receipt(0, signers=(2, 3, 4)).encode() for made in (early, few)]
    wrong = "receipt.links[0]: not signed by a quorum of the validators before"
    assert agree(judge, files) == [wrong, wrong]


def test_a_link_has_one_spelling(judge: Page) -> None:
    value = reformed().receipt(0, signers=(2, 3, 4)).to_json()
    (link,) = value["links"]
    epoch = b"stableproof\x00".hex()
    assert epoch in link
    value["links"] = [link.replace(epoch, b"stableproof\xcc\x00".hex())]
    said = agree(judge, [canonical_json.dump(value)])
    assert said == ["receipt.links[0]: not the canonical encoding"]


@pytest.mark.parametrize(
    ("odd", "what"),
    [
        ({"facts": {"a": {}}}, "facts"),
        ({"facts": {"a": [1]}}, "facts"),
        ({"facts": {"A": 1}}, "facts"),
        ({"facts": {"__proto__": 1}}, "facts"),
        ({"commitments": {"customer_id": "00"}}, "commitments"),
        ({"kind": "Payment"}, "kind"),
        ({"time": -1}, "time"),
        ({"event_id": "0" * 32}, "event_id"),
    ],
    ids=map(str, count()),
)
def test_not_even_a_quorum_makes_an_entry_of_anything(
    judge: Page, odd: dict[str, Any], what: str
) -> None:
    made = MemoryChain()
    made.grow(msgspec.structs.replace(entry(1), **odd))
    (said,) = agree(judge, [made.receipt(0).encode()])
    assert str(said).startswith(f"receipt.entry: {what} ")


def test_another_chain_is_not_the_pinned_one(judge: Page, ledger: Ledger) -> None:
    wrong = "receipt.genesis: not the pinned genesis: this is another chain"
    other = MemoryChain(genesis=founders(5))
    other.grow(entry(1))
    pinned = ledger.chain.genesis.encode()
    assert judged(judge, [other.receipt(0, (0, 1, 2, 3)).encode()], pinned) == [wrong]


# all entries of a booking


def test_all_entries_of_a_booking_and_their_absence_are_good(judge: Page) -> None:
    made = MemoryChain()
    made.grow(*(entry(number, booking=number // 2) for number in range(130)))
    asked = [made.completeness(str(UUID(int=booking))) for booking in range(0, 90, 7)]
    files = [found.encode() for found in asked]
    assert {len(found.entries) for found in asked} == {0, 2}
    assert set(judged(judge, files, made.genesis.encode(), complete=True)) == {None}


def test_what_python_refuses_of_a_bookings_entries_the_browser_refuses_too(judge: Page) -> None:
    changes = test_completeness.REFUSALS
    files = [test_completeness.altered(change) for change, _ in changes]
    files += [test_completeness.forged(entries) for entries in test_completeness.LIES.values()]
    absent = test_completeness.ABSENT.encode()
    files += [test_completeness.altered(c, absent) for c, _ in test_completeness.ABSENCES]
    said = agree(judge, files, complete=True)
    assert None not in said
    for one, file in zip(said, files, strict=True):
        if not str(where(one)).endswith(".entry"):  # whose shape each tells in its own words
            assert one == refusal(file, complete=True)


def test_an_altered_byte_of_a_bookings_proof_is_refused(judge: Page) -> None:
    for data in (test_completeness.DATA, test_completeness.ABSENT.encode()):
        files = [
            data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]
            for at in range(0, len(data), 2 * STEP)
            for bit in (1, 0x20)
        ]
        agree(judge, files, complete=True)


def test_two_maps_at_one_height_are_fraud_in_the_browser_too(page: Page, tmp_path: Path) -> None:
    here, there = MemoryChain(), MemoryChain()
    here.grow(entry(1))
    there.grow(entry(2))
    found = fraud.find(here.completeness(BOOKING), there.receipt(0, (1, 2, 3)))
    assert found is not None
    file = tmp_path / "fraud.json"
    file.write_bytes(found.encode())
    page.get_by_label("Or use a genesis").set_input_files(pinned_file(tmp_path))
    page.get_by_label("Drop a receipt or a proof here").set_input_files(file)
    expect(page.locator("[data-verdict]")).to_contain_text(verify_file(file).text)


# fraud


def fraud_file(one: Receipt, other: Receipt) -> bytes:
    both = {"one": one.to_json(), "other": other.to_json()}
    return canonical_json.dump({"format": fraud.FORMAT, **both})


@pytest.mark.parametrize(("mine", "theirs"), [(2, 2), (1, 2), (2, 1)])
def test_a_proof_of_fraud_names_the_liars(
    page: Page, tmp_path: Path, mine: int, theirs: int
) -> None:
    file = tmp_path / "fraud.json"
    file.write_bytes(fraud_file(*forked(mine, theirs)))
    page.get_by_label("Or use a genesis").set_input_files(pinned_file(tmp_path))
    page.get_by_label("Drop a receipt or a proof here").set_input_files(file)
    expect(page.locator("[data-verdict]")).to_contain_text("! A proof of fraud")
    expect(page.locator("[data-verdict]")).to_contain_text(verify_file(file).text)


def test_an_honest_ledger_cannot_be_accused(page: Page, tmp_path: Path) -> None:
    file = tmp_path / "fraud.json"
    file.write_bytes(fraud_file(GOOD, GOOD))
    page.get_by_label("Or use a genesis").set_input_files(pinned_file(tmp_path))
    page.get_by_label("Drop a receipt or a proof here").set_input_files(file)
    expect(page.locator("[data-verdict]")).to_contain_text("✕ Not verified")
    expect(page.locator("[data-verdict]")).to_contain_text(
        "fraud: these receipts do not contradict"
    )


def pinned_file(folder: Path) -> Path:
    file = folder / "genesis.json"
    file.write_bytes(founders().encode())
    return file


# the page


def test_a_chosen_file_is_verified_without_a_network(
    page: Page, context: BrowserContext, ledger: Ledger, tmp_path: Path
) -> None:
    receipt = ledger.chain.receipt(7)
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_bytes(receipt.encode())
    amount = b'"amount_cents":2500'  # with its name: hashes have such digits too
    assert amount in receipt.encode()
    bad.write_bytes(receipt.encode().replace(amount, b'"amount_cents":2400'))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    context.set_offline(offline=True)
    verdict = page.locator("[data-verdict]")
    page.get_by_label("Drop a receipt or a proof here").set_input_files(good)
    expect(verdict).to_contain_text("✓ Verified by your browser")
    expect(verdict).to_contain_text(VerifiedFile(receipt, pinned=True).text)
    page.get_by_label("Drop a receipt or a proof here").set_input_files(bad)
    expect(verdict).to_contain_text("✕ Not verified")
    expect(verdict).to_contain_text(
        "not valid: receipt.entry: entry, index and path do not lead to the signed root"
    )
    assert [one for one in asked if not one.endswith("icon.svg")] == []


def test_a_dropped_file_is_verified(page: Page, ledger: Ledger) -> None:
    data = ledger.chain.receipt(0).encode().decode()
    page.evaluate(
        """(text) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([text], "receipt.json"));
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
        }""",
        data,
    )
    expect(page.locator("[data-verdict]")).to_contain_text("✓ Verified by your browser")


def test_ones_own_genesis_can_be_pinned(page: Page, ledger: Ledger, tmp_path: Path) -> None:
    receipt, other = tmp_path / "receipt.json", tmp_path / "genesis.json"
    receipt.write_bytes(ledger.chain.receipt(0).encode())
    other.write_bytes(founders(5).encode())
    page.get_by_label("Drop a receipt or a proof here").set_input_files(receipt)
    page.get_by_label("Or use a genesis").set_input_files(other)
    expect(page.locator("[data-verdict]")).to_contain_text("this is another chain")
    expect(page.locator("[data-chain]")).to_have_text(founders(5).chain.hex())


def test_a_booking_is_verified_at_a_glance(page: Page) -> None:
    page.goto(f"/ledger/bookings/{BOOKING}")
    expect(page.get_by_text("✓ Verified by your browser")).to_have_count(3)


def test_a_proof_of_other_entries_than_the_page_shows_does_not_count(
    page: Page, ledger: Ledger
) -> None:
    def leave_one_out(route: Any) -> None:
        body = route.fetch().text()
        listed = f'data-events="{an_id("event 0")} {an_id("event 1")}"'
        assert listed in body
        route.fulfill(body=body.replace(listed, f'data-events="{an_id("event 0")}"'))

    page.route(f"**/ledger/bookings/{BOOKING}", leave_one_out)
    page.goto(f"/ledger/bookings/{BOOKING}")
    expect(page.locator("[data-all]")).to_contain_text("✕ Not verified")
    expect(page.locator("[data-all]")).to_contain_text("not of the entries on this page")


def test_that_a_booking_has_no_entry_is_verified(
    page: Page, ledger: Ledger, tmp_path: Path
) -> None:
    nobody = an_id("nobody")
    page.goto(f"/ledger/bookings/{nobody}")
    proof = ledger.chain.completeness(nobody)
    expect(page.locator("[data-all]")).to_contain_text(VerifiedFile(proof, pinned=True).text)
    file = tmp_path / "proof.json"
    file.write_bytes(ledger.chain.completeness(BOOKING).encode())
    page.goto("/verify")
    page.get_by_label("Drop a receipt or a proof here").set_input_files(file)
    expect(page.locator("[data-facts]")).to_contain_text("booking.confirmed")


def test_a_good_receipt_of_another_event_does_not_count(page: Page, ledger: Ledger) -> None:
    other = ledger.chain.receipt(1).encode()
    path = f"**/ledger/entries/{an_id('event 0')}"
    own = ledger.chain.receipt(0).encode()

    def swap(route: Any) -> None:
        answer = route.fetch()
        quoted = [one.decode().replace('"', "&#34;") for one in (own, other)]
        assert quoted[0] in answer.text()
        route.fulfill(response=answer, body=answer.text().replace(*quoted))

    page.route(path, swap)
    page.goto(f"/ledger/entries/{an_id('event 0')}")
    expect(page.get_by_text("✕ Not verified")).to_be_visible()
    expect(page.get_by_text("but of another event")).to_be_visible()


def test_blocks_arrive_by_themselves_until_one_says_stop(page: Page, ledger: Ledger) -> None:
    page.goto("/ledger")
    top = len(ledger.chain.blocks)
    ledger.grow(an_entry(901, "payment.success"))
    expect(page.get_by_text(f"Block {top + 1} arrived.")).to_be_attached()
    expect(page.locator(f'[data-height="{top + 1}"]')).to_contain_text("new")
    page.get_by_role("button", name="Stop updating").click()
    expect(page.get_by_text("This page stands still.")).to_be_visible()
    ledger.grow()
    page.get_by_role("button", name="Go on updating").click()
    expect(page.locator(f'[data-height="{top + 2}"]')).to_be_visible()


def test_the_path_of_an_entry_lights_up_by_keyboard(page: Page) -> None:
    page.goto("/ledger/blocks/3")
    expect(page.locator(".edge.is-lit")).to_have_count(0)
    page.get_by_role("link", name="entry 5,").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".edge.is-lit")).to_have_count(4)
    expect(page.get_by_text("Path highlighted")).to_be_visible()


@pytest.mark.parametrize(
    "path",
    ["/ledger", "/ledger/blocks/4", f"/ledger/bookings/{BOOKING}", "/verify"],
)
def test_pages_fit_their_screen(page: Page, path: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
