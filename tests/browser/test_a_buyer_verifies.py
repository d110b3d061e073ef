"""Somebody buys a ticket and verifies it: the whole shop, its ledger, and a real browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_buy_a_ticket import (
    OpenPage,
    choose_a_show,
    continue_as_guest,
    expect_a_ticket,
    pay_with,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.no_cover,  # what it visits runs in other processes
    pytest.mark.xdist_group("shop"),
]


def reload_until(page: Page, text: str) -> None:
    """Entries follow a purchase within moments, not at once."""
    for _ in range(60):
        if page.get_by_text(text).count():
            return
        page.wait_for_timeout(500)
        page.reload()
    expect(page.get_by_text(text).first).to_be_visible()


def test_a_buyer_verifies_the_booking_and_keeps_its_receipt(
    open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page()
    choose_a_show(page)
    page.get_by_role("button", name="Find the best seats").click()
    continue_as_guest(page)
    pay_with(page, "Test card")
    expect_a_ticket(page)
    page.get_by_role("link", name="Verify this booking").click()
    reload_until(page, "Booking confirmed")
    reload_until(page, "Save the receipt")
    expect(page.get_by_text("✓ Verified by your browser").first).to_be_visible()
    expect(page.get_by_text("✕ Not verified")).to_have_count(0)
    expect(page.locator("[data-all]")).to_contain_text("has exactly 2 entries")
    with page.expect_download() as saved:
        page.get_by_role("link", name="Save the receipt").first.click()
    saved.value.save_as(tmp_path / "receipt.json")
    page.get_by_role("link", name=re.compile(r"^block \d+$")).first.click()
    expect(page.get_by_text("✓ Right")).to_be_visible()
    expect(page.get_by_text("Path highlighted")).to_be_visible()
    page.goto("/ledger")
    expect(page.get_by_text("✓ In step").first).to_be_visible()
    expect(page.get_by_text("★ Primary")).to_have_count(1)
    page.goto("/verify")
    page.get_by_label("Drop a receipt or a proof here").set_input_files(tmp_path / "receipt.json")
    expect(page.locator("[data-verdict]")).to_contain_text("✓ Verified by your browser")
