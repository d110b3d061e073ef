"""A real Chromium in front of a running shop."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.needs import need
from tests.support.shop import RunningShop

CHROMIUM = Path("/usr/bin/chromium")
# No GPU and no talk with anyone but the shop.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TIMEOUT_MS = 30_000  # the slow card's bank takes its time


@pytest.fixture(scope="module")  # closed before others use an event loop of their own
def browser() -> Iterator[Browser]:
    need("the Debian package chromium", present=CHROMIUM.exists())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, shop: RunningShop) -> Iterator[Any]:
    """Opens the home page; in the end, no script may have failed."""
    contexts, errors = [], []
    expect.set_options(timeout=TIMEOUT_MS)

    def open_one(*, width: int = 1280, javascript: bool = True) -> Page:
        context = browser.new_context(
            base_url=shop.url,
            locale="en-GB",
            reduced_motion="reduce",
            viewport={"width": width, "height": 800},
            java_script_enabled=javascript,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console", lambda line: errors.append(line.text) if _is_refusal(line.text) else None
        )
        page.goto("/")
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert errors == []


def _is_refusal(text: str) -> bool:
    """The browser enforced the Content-Security-Policy."""
    return "Content Security Policy" in text
