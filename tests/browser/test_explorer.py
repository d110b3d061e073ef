"""The explorer in a real browser: it verifies receipts with WebCrypto, without a network."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from cinesync.cli.proof_files import verify_file
from cinesync.proofs import canonical_json, fraud
from cinesync.proofs.receipts import Receipt
from cinesync.proofs.verify import VerifiedFile
from tests.support.fake_apis import ledger as fake_ledger
from tests.support.fake_apis.ledger import BOOKING, FakeLedger, ledger_entry
from tests.support.fake_apis.serve import serve
from tests.support.fake_apis.state import id_of
from tests.support.ledger_chains import MemoryChain, entry, founders
from tests.unit.proofs.test_fraud import forked
from tests.unit.proofs.test_receipts import GOOD

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def ledger() -> FakeLedger:
    return fake_ledger.create_ledger()


@pytest.fixture(scope="module")
def url(ledger: FakeLedger) -> Iterator[str]:
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


@pytest.fixture
def context(browser: Browser, url: str) -> Iterator[BrowserContext]:
    """A window; in the end, no script may have failed in it."""
    errors: list[str] = []
    made = browser.new_context(base_url=url, viewport={"width": 1280, "height": 800})
    made.on("weberror", lambda problem: errors.append(str(problem.error)))
    made.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    yield made
    made.close()
    assert [text for text in errors if "ERR_INTERNET_DISCONNECTED" not in text] == []


@pytest.fixture
def page(context: BrowserContext) -> Page:
    opened = context.new_page()
    opened.goto("/verify")
    return opened


# fraud


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


def fraud_file(one: Receipt, other: Receipt) -> bytes:
    both = {"one": one.to_json(), "other": other.to_json()}
    return canonical_json.dump({"format": fraud.FORMAT, **both})


@pytest.mark.parametrize(("mine", "theirs"), [(2, 2), (1, 2), (2, 1)])
def test_a_proof_of_fraud_names_the_signers(
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
    page: Page, context: BrowserContext, ledger: FakeLedger, tmp_path: Path
) -> None:
    receipt = ledger.chain.receipt(7)
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_bytes(receipt.encode())
    amount = b'"amount_cents":2500'  # with its name: hashes have such digits too
    assert amount in receipt.encode()
    bad.write_bytes(receipt.encode().replace(amount, b'"amount_cents":2400'))
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
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
    assert [one for one in requested if not one.endswith("icon.svg")] == []


def test_a_dropped_file_is_verified(page: Page, ledger: FakeLedger) -> None:
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


def test_ones_own_genesis_can_be_pinned(page: Page, ledger: FakeLedger, tmp_path: Path) -> None:
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
    page: Page, ledger: FakeLedger
) -> None:
    def leave_one_out(route: Any) -> None:
        body = route.fetch().text()
        listed = f'data-events="{id_of("event 0")} {id_of("event 1")}"'
        assert listed in body
        route.fulfill(body=body.replace(listed, f'data-events="{id_of("event 0")}"'))

    page.route(f"**/ledger/bookings/{BOOKING}", leave_one_out)
    page.goto(f"/ledger/bookings/{BOOKING}")
    expect(page.locator("[data-all]")).to_contain_text("✕ Not verified")
    expect(page.locator("[data-all]")).to_contain_text("not of the entries on this page")


def test_that_a_booking_has_no_entry_is_verified(
    page: Page, ledger: FakeLedger, tmp_path: Path
) -> None:
    nobody = id_of("nobody")
    page.goto(f"/ledger/bookings/{nobody}")
    proof = ledger.chain.completeness(nobody)
    expect(page.locator("[data-all]")).to_contain_text(VerifiedFile(proof, pinned=True).text)
    file = tmp_path / "proof.json"
    file.write_bytes(ledger.chain.completeness(BOOKING).encode())
    page.goto("/verify")
    page.get_by_label("Drop a receipt or a proof here").set_input_files(file)
    expect(page.locator("[data-facts]")).to_contain_text("booking.confirmed")


def test_a_good_receipt_of_another_event_does_not_count(page: Page, ledger: FakeLedger) -> None:
    other = ledger.chain.receipt(1).encode()
    path = f"**/ledger/entries/{id_of('event 0')}"
    own = ledger.chain.receipt(0).encode()

    def swap(route: Any) -> None:
        answer = route.fetch()
        quoted = [one.decode().replace('"', "&#34;") for one in (own, other)]
        assert quoted[0] in answer.text()
        route.fulfill(response=answer, body=answer.text().replace(*quoted))

    page.route(path, swap)
    page.goto(f"/ledger/entries/{id_of('event 0')}")
    expect(page.get_by_text("✕ Not verified")).to_be_visible()
    expect(page.get_by_text("but of another event")).to_be_visible()


def test_new_blocks_appear_until_updates_are_paused(page: Page, ledger: FakeLedger) -> None:
    page.goto("/ledger")
    top = len(ledger.chain.blocks)
    ledger.grow(ledger_entry(901, "payment.success"))
    expect(page.get_by_text(f"Block {top + 1} arrived.")).to_be_attached()
    expect(page.locator(f'[data-height="{top + 1}"]')).to_contain_text("new")
    page.get_by_role("button", name="Pause updates").click()
    expect(page.get_by_text("Updates are paused.")).to_be_visible()
    ledger.grow()
    page.get_by_role("button", name="Resume updates").click()
    expect(page.locator(f'[data-height="{top + 2}"]')).to_be_visible()


def test_the_path_of_an_entry_is_highlighted_by_keyboard(page: Page) -> None:
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
