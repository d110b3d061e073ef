"""Amounts of money as whole minor units of ISO 4217, and as decimals where people read them.

How many decimals a currency has differs by source: ISO 4217 gives the Icelandic krona none and
the Iraqi dinar three; CLDR (which browsers and Babel use to write amounts) and payment
providers have lists of their own. Inside, every amount is in ISO's minor units; a provider's units
are made at its border (`payment/gateways`), and what people see is made from here.
"""

from decimal import Decimal
from functools import cache

from iso4217 import Currency

# Card networks carry two decimals: an amount in a currency with three ends in 0 (Stripe,
# "Supported currencies", three-decimal currencies).
CARD_DECIMALS_MAX = 2


class UnknownCurrency(ValueError):
    """ISO 4217 has no such currency, or none that goods are priced in."""


@cache
def decimals(currency: str) -> int:
    """How many decimals `currency` has: USD 2, JPY 0, KWD 3. Raises UnknownCurrency."""
    try:
        found = Currency(currency).exponent
    except ValueError:
        found = None
    if found is None:  # gold and the like have no minor unit
        raise UnknownCurrency(f"{currency!r} is no currency of ISO 4217")
    return int(found)


def in_major_units(amount: int, currency: str) -> Decimal:
    """`amount` minor units as a decimal: 1505 is 15.05 USD, 1505 JPY and 1.505 KWD."""
    return Decimal(amount).scaleb(-decimals(currency))


def plain(amount: int, currency: str) -> str:
    """`amount` minor units as a text that is the same in every language: `15.05 USD`."""
    return f"{in_major_units(amount, currency):.{decimals(currency)}f} {currency}"


def payable_step(currency: str) -> int:
    """The minor units that every price is a multiple of, so that a card can pay it: KWD 10."""
    step: int = 10 ** max(0, decimals(currency) - CARD_DECIMALS_MAX)
    return step
