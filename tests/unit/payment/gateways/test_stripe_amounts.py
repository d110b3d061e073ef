"""Stripe's minor units, for every currency there is."""

import pytest
from iso4217 import Currency

from cinesync.chassis.money import payable_step
from cinesync.payment.gateways import GatewayRefused
from cinesync.payment.gateways.stripe_amounts import from_stripe, to_stripe

PRICED = sorted(one.code for one in Currency if one.exponent is not None)


@pytest.mark.parametrize(
    ("amount", "currency", "charged"),
    [
        (1_505, "USD", 1_505),
        (1_505, "JPY", 1_505),
        (1_505, "ISK", 150_500),
        (1_505, "UGX", 150_500),
        (150_500, "MGA", 1_505),
        (250_000, "HUF", 250_000),
        (5_120, "KWD", 5_120),
    ],
)
def test_an_amount_is_charged_as_it_was_meant(amount: int, currency: str, charged: int) -> None:
    assert to_stripe(amount, currency) == charged
    assert from_stripe(charged, currency) == amount


@pytest.mark.parametrize(("amount", "currency"), [(5_124, "KWD"), (150_550, "MGA"), (1, "BHD")])
def test_what_stripe_cannot_charge_is_refused(amount: int, currency: str) -> None:
    with pytest.raises(GatewayRefused, match="too many decimals"):
        to_stripe(amount, currency)


@pytest.mark.parametrize("currency", PRICED)
def test_every_currency_comes_back(currency: str) -> None:
    amount = 700 * payable_step(currency)
    assert from_stripe(to_stripe(amount, currency), currency) == amount
