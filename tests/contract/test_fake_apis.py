"""The fake APIs of the web tests keep the contract of the real services, and so do the pages.

`ApiClient`'s methods all run against the fake APIs. Every request and every response is checked
against the OpenAPI documents that the services' own routes make.
"""

import inspect
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from flask import Flask
from msgspec import to_builtins
from werkzeug.routing import Rule

from cinesync.chassis import clock
from cinesync.web.api_client import ApiClient, ApiProblem, open_client
from tests.support.fake_apis import api as fake_api
from tests.support.fake_apis import ledger as fake_ledger
from tests.support.fake_apis import state
from tests.support.fake_apis.booking import confirm
from tests.support.fake_apis.ledger import BOOKING
from tests.support.fake_apis.state import EMAIL, MOVIE, PASSWORD, SHOW, THEATER, FakeApis, id_of
from tests.support.openapi import CheckedTransport, Contract, ContractBroken, documents


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return Contract(documents(tmp_path_factory.mktemp("ledger")))


@pytest.fixture
def apis() -> FakeApis:
    return state.create_apis()


@pytest.fixture
def fake(apis: FakeApis) -> Flask:
    return fake_api.build(apis, fake_ledger.create_ledger())


@pytest.fixture
def transport(fake: Flask, contract: Contract) -> Iterator[CheckedTransport]:
    with httpx.WSGITransport(fake) as inner:
        yield CheckedTransport(inner, contract)


@pytest.fixture
def client(transport: CheckedTransport) -> ApiClient:
    return ApiClient(open_client("http://api.test", transport), dict)


def _sign_in(client: ApiClient) -> str:
    return client.log_in(EMAIL, PASSWORD)[0].access_token


def _browse(client: ApiClient) -> None:
    client.movies({"genre": "Drama", "showing": "true", "limit": 2})
    client.movie(MOVIE)
    client.filters()
    client.theaters({"city": "London"})
    client.theater(THEATER)
    client.cities()
    days = client.days({"movie_id": MOVIE})
    client.shows({"date": days[0].isoformat(), "city": "London", "limit": 100})
    client.show(SHOW)
    client.seats(SHOW)


def _buy(client: ApiClient, apis: FakeApis, token: str) -> None:
    seen = to_builtins(client.seats(SHOW).seen)
    hold = client.hold_seats(token, {"show_id": SHOW, "best": 2, "seen": seen})
    change = {"show_id": SHOW, "seats": ["C4", "C5"], "accessible_need": False}
    client.change_seats(token, hold.hold_id, change)
    client.find_hold(token, hold.hold_id)
    client.extend(token, hold.hold_id)
    client.payment_provider()
    payment = client.pay(token, hold.hold_id, "tok_late", str(clock.new_id()))
    client.payment(token, payment.payment_id)
    client.bookings(token, {"limit": "20"})
    confirm(apis, hold.hold_id)
    client.booking(token, hold.hold_id)
    client.tickets(token, hold.hold_id)
    client.cancel(token, hold.hold_id, ["C4"])
    client.cancel(token, hold.hold_id)
    other = client.hold_seats(token, {"show_id": SHOW, "seats": ["D1"], "zone": "standard"})
    client.release(token, other.hold_id)


def _explore(client: ApiClient) -> None:
    client.ledger_status()
    client.ledger_blocks({"limit": 2})
    client.ledger_block(1)
    client.ledger_entries(BOOKING)
    client.receipt(id_of("event 0"))
    client.completeness(BOOKING)
    client.genesis()


def _account(client: ApiClient, token: str) -> None:
    customer = {"email": "ada@example.org", "password": "a long password", "name": "Ada"}
    client.register(customer)
    client.guest("guest@example.org")
    client.me(token)
    client.change_me(token, {"name": "Ada", "phone": "0123 456789"})
    client.own_account(token)
    for service in ("booking", "payment", "ledger"):
        client.own_data(token, service, None)
    client.request_link(EMAIL)
    used, refresh_token, _ = client.use_link("sign_in-0", "a new password")
    assert refresh_token
    client.refresh(refresh_token)
    client.log_out(used.access_token, refresh_token)
    client.erase(token, "a new password")
    client.request_link("guest@example.org", purpose="erase")
    client.erase_by_link("erase-0")


def test_every_call_of_the_pages_and_every_answer_of_the_fakes_is_documented(
    client: ApiClient, apis: FakeApis, transport: CheckedTransport, contract: Contract, fake: Flask
) -> None:
    apis.people["guest@example.org"] = {"email": "guest@example.org", "name": "", "password": ""}
    called = _watch(client)
    _browse(client)
    token = _sign_in(client)
    _buy(client, apis, token)
    _explore(client)
    _account(client, token)
    methods = inspect.getmembers(ApiClient, inspect.isfunction)
    assert called == {name for name, _ in methods if not name.startswith("_")}
    assert transport.called >= {
        contract.operation(method, _example(rule))[0]["operationId"]
        for rule in _rules(fake)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if not rule.rule.endswith("/live")  # a stream
    }


def _watch(client: ApiClient) -> set[str]:
    """The names of the public methods that are called from now on."""
    called: set[str] = set()
    for name, _ in inspect.getmembers(ApiClient, inspect.isfunction):
        if not name.startswith("_"):
            setattr(client, name, _counted(getattr(client, name), name, called))
    return called


def _counted(method: Any, name: str, called: set[str]) -> Any:
    def call(*arguments: Any, **named: Any) -> Any:
        called.add(name)
        return method(*arguments, **named)

    return call


def _rules(fake: Flask) -> list[Rule]:
    """Without Flask's own, and the page of the sandbox bank."""
    foreign = ("/static", "/api/bank/")
    return [rule for rule in fake.url_map.iter_rules() if not rule.rule.startswith(foreign)]


def _example(rule: Rule) -> str:
    """A path that the rule matches."""
    values = {"service": "booking", "height": "1"}
    return "".join(
        values.get(data, id_of("anything")) if is_dynamic else data
        for is_dynamic, data in rule._trace
        if data != "|"
    )


def test_refusals_are_problems(client: ApiClient, apis: FakeApis) -> None:
    token = _sign_in(client)
    with pytest.raises(ApiProblem) as refused:
        client.hold_seats(token, {"show_id": SHOW, "seats": ["A1"]})
    assert refused.value.status == 409
    with pytest.raises(ApiProblem):
        client.show(id_of("nothing"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"title": None}, "title"),
        ({"movie_id": "no uuid"}, "uuid"),
        ({"stars": 5}, "stars"),
    ],
)
def test_a_fake_that_differs_is_found(
    client: ApiClient, apis: FakeApis, change: dict[str, Any], message: str
) -> None:
    apis.movies[0] |= change
    with pytest.raises(ContractBroken, match=message):
        client.movies({})


def test_a_fake_that_leaves_a_member_out_is_found(client: ApiClient, apis: FakeApis) -> None:
    del apis.movies[0]["title"]
    with pytest.raises(ContractBroken, match="title"):
        client.movies({})


def test_a_request_that_no_service_takes_is_found(client: ApiClient) -> None:
    with pytest.raises(ContractBroken, match="no service has GET /api/movies/stars"):
        client._get("/api/movies/stars", dict)
    with pytest.raises(ContractBroken, match="colour"):
        client.movies({"colour": "red"})
    with pytest.raises(ContractBroken, match="request"):
        client.hold_seats(_sign_in(client), {"show_id": "no uuid", "seats": ["C4"]})
