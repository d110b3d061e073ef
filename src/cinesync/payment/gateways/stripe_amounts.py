"""Stripe's amounts: which minor units its API expects, where they differ from ISO 4217. Pure.

Source: Stripe's documentation, "Supported currencies", sections on zero-decimal and three-decimal
currencies and on special cases.
"""

from typing import Final

from cinesync.chassis.money import decimals, plain
from cinesync.payment.gateways import GatewayRefused

# Stripe's decimals of the currencies for which they are not ISO's.
DECIMALS: Final = {
    "ISK": 2,  # ISO has none; Stripe takes two, and they are 00
    "UGX": 2,  # the same
    "MGA": 0,  # ISO has two; Stripe none
}
# Three decimals whose last is 0: 5.124 KWD cannot be charged, 5.120 can.
ENDS_IN_ZERO: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


def to_stripe(amount: int, currency: str) -> int:
    """ISO minor units as Stripe's. Raises GatewayRefused for an amount that it cannot charge."""
    charged, rest = _rescaled(amount, decimals(currency), _decimals(currency))
    if rest or (currency in ENDS_IN_ZERO and charged % 10):
        raise GatewayRefused(f"Stripe cannot charge {plain(amount, currency)}: too many decimals")
    return charged


def from_stripe(amount: int, currency: str) -> int:
    """Stripe's minor units as ISO's; `currency` in upper case."""
    amount, _ = _rescaled(amount, _decimals(currency), decimals(currency))
    return amount


def _decimals(currency: str) -> int:
    return DECIMALS.get(currency, decimals(currency))


def _rescaled(amount: int, decimals_from: int, decimals_to: int) -> tuple[int, int]:
    """The amount with other decimals, and what that cuts off."""
    return divmod(amount * int(10**decimals_to), int(10**decimals_from))
