"""Minor units are ISO 4217's, whatever a browser or a provider thinks of a currency."""

from decimal import Decimal

import pytest
from iso4217 import Currency

from cinesync.chassis.money import UnknownCurrency, decimals, in_major_units, payable_step, plain

PRICED = sorted(one.code for one in Currency if one.exponent is not None)


@pytest.mark.parametrize(
    ("currency", "expected"),
    [
        ("USD", 2),
        ("JPY", 0),
        ("ISK", 0),
        ("UGX", 0),
        ("HUF", 2),
        ("IQD", 3),
        ("KWD", 3),
        ("CLF", 4),
    ],
)
def test_decimals_are_those_of_iso_4217(currency: str, expected: int) -> None:
    assert decimals(currency) == expected


@pytest.mark.parametrize("unknown", ["", "usd", "QQQ", "XAU", "XXX"])
def test_what_nothing_is_priced_in_is_refused(unknown: str) -> None:
    with pytest.raises(UnknownCurrency, match="ISO 4217"):
        decimals(unknown)


def test_a_plain_amount_has_every_decimal() -> None:
    assert [plain(1505, code) for code in ("JPY", "EUR", "KWD")] == [
        "1505 JPY",
        "15.05 EUR",
        "1.505 KWD",
    ]
    assert plain(5_000_000, "IDR") == "50000.00 IDR"
    assert plain(5, "USD") == "0.05 USD"


@pytest.mark.parametrize("currency", PRICED)
def test_units_come_back_from_every_currency(currency: str) -> None:
    amount = in_major_units(1_234_567, currency)
    assert amount * 10 ** decimals(currency) == Decimal(1_234_567)


def test_cards_carry_two_decimals() -> None:
    assert [payable_step(code) for code in ("JPY", "EUR", "KWD")] == [1, 1, 10]
