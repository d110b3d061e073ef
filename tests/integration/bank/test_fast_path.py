"""With fast paths and without, the bank says the same and does the same."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from litestar import Litestar

from cinesync.bank.schemas import BODY_BYTES_MAX
from tests.integration.bank.conftest import Shop
from tests.support.bank import BankClient

PLAIN = "application/json"
NOT_PLAIN = "application/json; charset=utf-8"  # which a fast path declines
GOOD = {"amount_cents": 1200, "currency": "EUR", "token": "tok_approve"}
SERVERS_OWN = {"date", "connection"}  # which it closes if it was quicker than the body
OWN_TO_EACH = {"charge_id", "reference", "confirm_url"}


async def send(
    bank: BankClient, kind: str, body: Any, headers: Mapping[str, str]
) -> tuple[int, Any, Mapping[str, str]]:
    """An answer, without what is never the same twice."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    async with bank.client() as http:
        sent = {**http.headers, "content-type": kind, **headers}
        answer = await http.post("/charges", content=content, headers=sent)
    body = answer.json()
    body = {key: bool(value) if key in OWN_TO_EACH else value for key, value in body.items()}
    headers = {name: value for name, value in answer.headers.items() if name not in SERVERS_OWN}
    return answer.status_code, body, headers


@pytest.mark.parametrize(
    "body",
    [
        GOOD,
        GOOD | {"return_url": "http://shop/p"},
        GOOD | {"token": "tok_decline"},
        GOOD | {"token": "tok_3ds"},
        GOOD | {"token": "tok_late"},
        GOOD | {"token": "tok_success_twice"},
        GOOD | {"token": "tok_down"},
        GOOD | {"token": "tok_unheard_of"},
        GOOD | {"token": ""},
        GOOD | {"amount_cents": 0},
        GOOD | {"amount_cents": "1200"},
        GOOD | {"amount_cents": 12.5},
        GOOD | {"currency": "euros"},
        GOOD | {"currency": "EUR\n"},
        GOOD | {"return_url": "x" * 501},
        GOOD | {"surprise": 1},
        {"token": "tok_approve"},
        [],
        b"",
        b"not JSON",
        b'{"token": "\xff"}',
        msgspec.json.encode(GOOD) + b" " * BODY_BYTES_MAX,
    ],
    ids=lambda body: repr(body)[:100],
)
async def test_an_order(bank: BankClient, body: Any) -> None:
    plain = await send(bank, PLAIN, body, {"idempotency-key": "a"})
    assert plain == await send(bank, NOT_PLAIN, body, {"idempotency-key": "b"})


@pytest.mark.parametrize(
    "headers",
    [
        {"idempotency-key": "k" * 100},
        {"idempotency-key": "k" * 101},
        {"idempotency-key": ""},
        {},
        {"idempotency-key": "k", "authorization": "Bearer guess"},
        {"idempotency-key": "k", "authorization": ""},
    ],
)
async def test_authorization_and_idempotency_key(
    bank: BankClient, headers: Mapping[str, str]
) -> None:
    plain = await send(bank, PLAIN, GOOD, headers)
    assert plain == await send(bank, NOT_PLAIN, GOOD, headers)


async def test_one_key_is_one_charge_by_both_doors(bank: BankClient, shop: Shop) -> None:
    for kind in (PLAIN, NOT_PLAIN, PLAIN):
        answer = await shop.http.post(
            "/charges",
            json=GOOD,
            headers={"content-type": kind, "idempotency-key": f"{shop.prefix}1"},
        )
        assert answer.status_code == 201
    other = {"idempotency-key": f"{shop.prefix}1"}
    for kind in (PLAIN, NOT_PLAIN):
        status, body, _ = await send(bank, kind, GOOD | {"amount_cents": 1}, other)
        assert (status, body["code"]) == (409, "KeyReused")
    assert await shop.lines() == [("capture", "1", 1200)]


async def test_an_ordinary_charge_costs_no_litestar(
    bank: BankClient, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def closed(*_: object) -> None:
        raise AssertionError("Litestar was asked")

    monkeypatch.setattr(Litestar, "__call__", closed)
    assert (await shop.pay("tok_approve")).status_code == 201
