"""Webhooks as the bank would send them, signed well or badly."""

from uuid import UUID

import msgspec

from cinesync.bank.model import sign
from cinesync.chassis import clock
from tests.support.bank import SECRET

SignedWebhook = tuple[dict[str, str], bytes]


def webhook(
    payment_id: UUID | str,
    charge_id: str = "ch_1",
    state: str = "captured",
    *,
    event_id: str | None = None,
    amount_cents: int = 2400,
    secret: str = SECRET,
    age_seconds: int = 0,
) -> SignedWebhook:
    """Headers and body, signed by the bank's own code."""
    charge = {
        "charge_id": charge_id,
        "reference": str(payment_id),
        "amount_cents": amount_cents,
        "currency": "EUR",
        "state": state,
        "decline_code": "card_declined" if state == "declined" else None,
    }
    event = {"event_id": event_id or f"evt_{charge_id}_{state}", "charge": charge}
    body = msgspec.json.encode(event)
    signature = sign(secret, int(clock.now().timestamp()) - age_seconds, body)
    return {"bank-signature": signature}, body
