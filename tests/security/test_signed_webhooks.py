"""Notices whose signature is right and whose content is not: refused, and no fault of ours."""

import hmac
import json
from contextlib import suppress
from hashlib import sha256
from typing import Any, cast

import msgspec
import pytest

from cinesync.chassis import clock
from cinesync.payment.gateways import PaymentGateway, read_webhook
from cinesync.payment.gateways.sandbox import SandboxGateway
from cinesync.payment.gateways.stripe import StripeGateway
from cinesync.payment.model import BadNotice, BadSignature

ANYTHING = cast(Any, None)  # no network is asked
SECRET = "whsec_a_secret_that_only_these_tests_know"
SANDBOX: PaymentGateway = SandboxGateway(ANYTHING, SECRET, 0)
STRIPE: PaymentGateway = StripeGateway(ANYTHING, ANYTHING, SECRET)
PAYMENT_ID = "00000000-0000-7000-8000-000000000000"


def signed(gateway: PaymentGateway, body: bytes, at: str = "") -> dict[str, str]:
    at = at or str(int(clock.now().timestamp()))
    mac = hmac.new(SECRET.encode(), at.encode() + b"." + body, sha256).hexdigest()
    name = "bank-signature" if gateway is SANDBOX else "stripe-signature"
    return {name: f"t={at},v1={mac}"}


def charge(**odd: Any) -> Any:
    whole = {"charge_id": "c", "reference": PAYMENT_ID, "amount_cents": 1, "currency": "EUR"}
    return {"event_id": "e", "charge": whole | {"state": "captured"} | odd}


def intent(**odd: Any) -> Any:
    whole = {"id": "pi_1", "status": "succeeded", "amount": 100, "amount_received": 100}
    whole |= {"currency": "eur", "metadata": {"payment_id": PAYMENT_ID}}
    found = {"id": "evt_1", "object": "event", "type": "payment_intent.succeeded", "created": 1}
    return found | {"data": {"object": whole | odd}}


def test_well_formed_webhooks_are_read() -> None:
    for gateway, webhook in ((SANDBOX, charge()), (STRIPE, intent())):
        body = json.dumps(webhook).encode()
        assert read_webhook(gateway, body, signed(gateway, body)) is not None


ODD_CHARGES = [
    charge(state="eaten"),
    charge(amount_cents=2**63),
    charge(amount_cents=10**40),
    charge(currency="\x00"),
    charge(charge_id="c" * 3_000),
    charge(decline_code="\x00"),
    charge(event_id=7),
    charge() | {"event_id": "\x00"},
]
ODD_INTENTS = [
    intent(status="eaten"),
    intent(amount_received=10**40),
    intent(amount_received="x"),
    intent(currency=7),
    intent(currency="\x00"),
    intent(id=None),
    intent(id="\x00"),
    intent(id="\ud800"),
    intent(id="p" * 3_000),
    intent(next_action=7),
    intent(last_payment_error=[1]),
    intent() | {"id": "\x00"},
    intent() | {"data": None},
    intent() | {"data": {"object": 7}},
]
ODD_BODIES = [b"", b"null", b"[]", b"7", b'"x"', b"{}", b"\xff", b"{", b"[" * 60_000, b'{"id":']


@pytest.mark.parametrize(
    ("gateway", "body"),
    [
        *((SANDBOX, json.dumps(one).encode()) for one in ODD_CHARGES),
        *((STRIPE, json.dumps(one).encode()) for one in ODD_INTENTS),
        *((gateway, body) for gateway in (SANDBOX, STRIPE) for body in ODD_BODIES),
    ],
)
def test_what_is_malformed_is_refused_or_ignored(gateway: PaymentGateway, body: bytes) -> None:
    webhook = None
    with suppress(BadNotice, BadSignature):
        webhook = read_webhook(gateway, body, signed(gateway, body))
    assert webhook is None or b"\\u0000" not in msgspec.json.encode(webhook)


@pytest.mark.parametrize("gateway", [SANDBOX, STRIPE])
@pytest.mark.parametrize("at", ["now", "-1", "1e9", "9" * 400, "9" * 5_000, "\uff11\uff12", "\xe9"])
def test_a_time_that_is_none_is_refused(gateway: PaymentGateway, at: str) -> None:
    with pytest.raises((BadNotice, BadSignature)):
        read_webhook(gateway, b"{}", signed(gateway, b"{}", at))


@pytest.mark.parametrize("gateway", [SANDBOX, STRIPE])
def test_a_signature_in_another_alphabet_is_refused(gateway: PaymentGateway) -> None:
    [(name, right)] = signed(gateway, b"{}").items()
    for wrong in (right[:-1] + "\xe9", "\xe9", "", "t=,v1=", "v1=a"):
        with pytest.raises((BadNotice, BadSignature)):
            read_webhook(gateway, b"{}", {name: wrong})
