"""Request and response bodies of the bank's API."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from cinesync.bank.model import AMOUNT_CENTS_MAX, BankCharge, BankChargeState, StatementEntry
from cinesync.chassis.money import decimals

BODY_BYTES_MAX: Final = 16_384
KEY_CHARS_MAX: Final = 100

Cents = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_CENTS_MAX)]
BankReference = Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_CHARS_MAX)]


class ChargeBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to charge to which card."""

    amount_cents: Cents
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
    token: BankReference
    return_url: Annotated[str, msgspec.Meta(max_length=500)] = ""

    def __post_init__(self) -> None:
        """Raises UnknownCurrency."""
        decimals(self.currency)


class BankRefundBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to refund of a charge."""

    refund_id: BankReference
    charge_id: BankReference
    amount_cents: Cents


class ChargeView(msgspec.Struct, frozen=True):
    """A charge. A card holder confirms it at `confirm_url`."""

    charge_id: str
    reference: str
    amount_cents: int
    currency: str
    state: BankChargeState
    decline_code: str | None
    return_url: str
    confirm_url: str | None

    @classmethod
    def of(cls, charge: BankCharge, public_url: str) -> "ChargeView":
        """The charge; with a URL while it waits for its card holder."""
        waits = charge.state is BankChargeState.ACTION
        return cls(
            charge.charge_id,
            charge.reference,
            charge.amount_cents,
            charge.currency,
            charge.state,
            charge.decline_code,
            charge.return_url,
            f"{public_url}/confirm/{charge.charge_id}" if waits else None,
        )


class ChargesView(msgspec.Struct, frozen=True):
    """Charges with one reference."""

    items: Sequence[ChargeView]


class StatementView(msgspec.Struct, frozen=True):
    """A page of the statement; `next` is the `after` of the following page."""

    items: Sequence[StatementEntry]
    next: int | None
