"""The documentation of the APIs, as a developer opens it in a browser."""

from typing import Any

import pytest
from playwright.sync_api import expect

from cinesync.bootstrap import SERVICES

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("shop")]


@pytest.mark.parametrize("service", SERVICES)
def test_the_documentation_shows_the_operations_of_each_service(
    open_page: Any, service: str
) -> None:
    """With `nosniff`, a script or a style of the wrong media type leaves the page blank."""
    page = open_page()
    page.goto(f"/api/{service}/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    expect(page.get_by_text(f"CineSync {service}")).to_be_visible()
    bold = page.locator(".opblock-summary-method").first
    assert bold.evaluate("element => getComputedStyle(element).fontWeight") == "700"
