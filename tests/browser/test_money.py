"""The script writes amounts exactly as the server does, whatever the browser's own lists say."""

import base64
import re
from pathlib import Path

import pytest
from babel import Locale
from iso4217 import Currency
from playwright.sync_api import Browser

import cinesync.web
from cinesync.chassis.money import decimals
from cinesync.web.formats import LOCALES, _money, usual_decimals

pytestmark = pytest.mark.browser

MODULE = Path(cinesync.web.__file__).parent / "storefront" / "static" / "money.js"
PRICED = sorted(one.code for one in Currency if one.exponent is not None)
AMOUNTS = (0, 5, 1_505, 250_000, 5_000_000)
WRITE = """async ([source, locale, cases]) => {
    const { moneyWriter } = await import(`data:text/javascript;base64,${source}`);
    return cases.map(([format, amount]) => moneyWriter(locale, format)(amount));
}"""


def _digits(text: str) -> str:
    """Signs of currencies differ by edition of CLDR; the number must not."""
    found = re.search(r"[0-9][0-9.,]*", text)
    assert found, text
    return found[0]


@pytest.mark.parametrize("locale", LOCALES)
def test_a_browser_writes_every_currency_as_the_server_does(browser: Browser, locale: str) -> None:
    parsed = Locale.parse(locale, sep="-")
    cases = [
        (
            {
                "currency": code,
                "decimals": str(decimals(code)),
                "usualDecimals": str(usual_decimals(code)),
            },
            amount,
        )
        for code in PRICED
        for amount in AMOUNTS
    ]
    page = browser.new_page()
    source = base64.b64encode(MODULE.read_bytes()).decode()
    written = page.evaluate(WRITE, [source, locale, cases])
    page.close()
    expected = [_money(amount, str(form["currency"]), parsed) for form, amount in cases]
    assert [_digits(text) for text in written] == [_digits(text) for text in expected]
