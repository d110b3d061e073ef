"""The baseline is honest: it sells nothing twice, takes nothing twice, believes no bad token."""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4  # noqa: TID251 a client makes its own keys

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from joserfc.jwk import ECKey, KeySet
from sqlalchemy import Engine, create_engine
from sqlalchemy.orm import Session

from bench.baseline import app, service, stock
from bench.baseline.models import Payment
from cinesync.supervisor.postgres import Postgres
from tests.conftest import Sign

SEATS = 8
BUYERS = 40

_numbers = itertools.count()


class Bank:
    """Says yes to everybody, once for each payment."""

    def __init__(self) -> None:
        self.charges: list[UUID] = []
        self.state = "captured"

    def charge(self, payment: Payment) -> dict[str, Any]:
        self.charges.append(payment.payment_id)
        return {"state": self.state, "charge_id": f"ch_{len(self.charges)}"}


@pytest.fixture
def engine(postgres: Postgres) -> Iterator[Engine]:
    name = f"baseline_{next(_numbers)}"
    with psycopg.connect(postgres.url(), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        url = postgres.url(name).replace("postgresql://", "postgresql+psycopg://")
        made = create_engine(url, pool_size=10)
        yield made
        made.dispose()
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def show_id(engine: Engine) -> UUID:
    return stock.fill(engine, shows=1, seats=SEATS)[0]


@pytest.fixture
def bank() -> Bank:
    return Bank()


@pytest.fixture
def shop(engine: Engine, signing_key: ECKey, bank: Bank) -> Flask:
    return app.build(engine, KeySet([signing_key]), bank.charge)


@pytest.fixture
def buyer(shop: Flask, sign: Sign) -> Callable[[], FlaskClient]:
    def make() -> FlaskClient:
        client = shop.test_client()
        client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {sign(uuid4())}"
        return client

    return make


def buy(client: FlaskClient, show_id: UUID) -> str | None:
    """The seat, if there was one."""
    held = client.post("/holds", json={"show_id": str(show_id)})
    if held.status_code == 409:
        return None
    assert held.status_code == 201
    paid = pay(client, held.json["hold_id"])  # type: ignore[index]
    assert paid.json == {"payment_id": paid.json["payment_id"], "status": "success"}
    return str(held.json["seats"][0])  # type: ignore[index]


def pay(client: FlaskClient, hold_id: str, key: str = "once") -> Any:
    body = {"hold_id": hold_id, "token": "tok_approve"}
    return client.post("/payments", json=body, headers={"Idempotency-Key": key})


def test_a_rush_sells_every_seat_exactly_once(
    buyer: Callable[[], FlaskClient], show_id: UUID
) -> None:
    with ThreadPoolExecutor(8) as pool:
        seats = list(pool.map(lambda _: buy(buyer(), show_id), range(BUYERS)))
    sold = [seat for seat in seats if seat is not None]
    assert len(sold) == len(set(sold)) == SEATS


def test_the_lock_is_what_keeps_two_buyers_from_one_seat(engine: Engine, show_id: UUID) -> None:
    with Session(engine) as one, Session(engine) as other:
        picked = [s.scalars(service.free_seat(show_id)).one().name for s in (one, other)]
    assert len(set(picked)) == 2
    with Session(engine) as one, Session(engine) as other:
        unlocked = service.free_seat(show_id, lock=False)
        picked = [s.scalars(unlocked).one().name for s in (one, other)]
    assert len(set(picked)) == 1


def test_a_repeated_payment_is_charged_once(
    buyer: Callable[[], FlaskClient], bank: Bank, show_id: UUID
) -> None:
    client = buyer()
    hold_id = client.post("/holds", json={"show_id": str(show_id)}).json["hold_id"]  # type: ignore[index]
    assert pay(client, hold_id).json == pay(client, hold_id).json
    assert len(bank.charges) == 1


def test_a_declined_card_buys_nothing(
    buyer: Callable[[], FlaskClient], bank: Bank, show_id: UUID
) -> None:
    bank.state = "declined"
    client = buyer()
    hold_id = client.post("/holds", json={"show_id": str(show_id)}).json["hold_id"]  # type: ignore[index]
    assert pay(client, hold_id).json["status"] == "failed"


def test_nobody_pays_for_anothers_hold(buyer: Callable[[], FlaskClient], show_id: UUID) -> None:
    hold_id = buyer().post("/holds", json={"show_id": str(show_id)}).json["hold_id"]  # type: ignore[index]
    assert pay(buyer(), hold_id).status_code == 404


@pytest.mark.parametrize("header", ["", "Bearer nonsense", "Bearer a.b.c"])
def test_without_a_valid_token_nothing_is_sold(shop: Flask, show_id: UUID, header: str) -> None:
    answer = shop.test_client().post(
        "/holds", json={"show_id": str(show_id)}, headers={"Authorization": header}
    )
    assert answer.status_code == 401
