"""The one door to the APIs: calls, timeouts, and their problems as exceptions."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar

import httpx
import msgspec

from cinesync.chassis import deadline
from cinesync.web.api_cache import Answers
from cinesync.web.api_models import (
    Account,
    Booking,
    City,
    Days,
    Filters,
    Hold,
    Movie,
    Page,
    Payment,
    PaymentProvider,
    SeatMap,
    Show,
    Theater,
    Ticket,
    Tokens,
)
from cinesync.web.explorer.model import Block, Completeness, Genesis, Placed, Receipt, Status
from cinesync.web.wording import SENTENCES

T = TypeVar("T")
Params = Mapping[str, str | int]

REFRESH_COOKIE = "cinesync_refresh"
DEVICE_COOKIE = "cinesync_device"
CONNECT_SECONDS_MAX = 2.0
ANSWER_SECONDS_MAX = 10.0
CONNECTIONS_MAX = 100


class ApiProblem(Exception):
    """An API said no: RFC 9457 problem details, or what comes nearest to them."""

    def __init__(self, status: int, title: str, detail: str = "", **members: Any) -> None:
        super().__init__(detail or title)
        self.status = status
        self.title = title
        self.detail = detail
        self.members = members

    @property
    def kind(self) -> str:
        """The last part of the problem's type: `already-paid`."""
        return str(self.members.get("type", "")).rpartition("/")[2]

    @property
    def sentence(self) -> str:
        """What a page says of it."""
        return SENTENCES.get(self.kind) or self.detail or self.title

    @property
    def of_fields(self) -> dict[str, str]:
        """What is wrong with each member of a form that the API names."""
        errors = self.members.get("errors")
        listed = errors if isinstance(errors, list) else []
        return {
            str(error["key"]): str(error["message"])
            for error in listed
            if isinstance(error, dict) and {"key", "message"} <= error.keys()
        }


class ApiDown(ApiProblem):
    """An API did not answer, or not in time: whether it acted is not known."""

    def __init__(self) -> None:
        super().__init__(503, "We cannot reach our own systems right now.")


def open_client(api_url: str, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """One connection pool for all threads."""
    return httpx.Client(
        base_url=api_url,
        transport=transport,
        # The pool is shared by all customers: it must not remember anyone's refresh cookie.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        # They are in the next room: to compress for each other would cost more than it saves.
        headers={"Accept-Encoding": "identity"},
        limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
    )


class Api:
    """The HTTP contract, one method per question. `headers` gives what every call carries."""

    def __init__(self, client: httpx.Client, headers: Callable[[], dict[str, str]]) -> None:
        self._client = client
        self._headers = headers
        self._answers = Answers()

    # movies: the same for everybody

    def movies(self, filters: Params) -> Page[Movie]:
        return self._public("/api/movies/movies", Page[Movie], filters)

    def movie(self, movie_id: str) -> Movie:
        return self._public(f"/api/movies/movies/{movie_id}", Movie)

    def filters(self) -> Filters:
        return self._public("/api/movies/filters", Filters)

    def theaters(self, filters: Params) -> Page[Theater]:
        return self._public("/api/movies/theaters", Page[Theater], filters)

    def theater(self, theater_id: str) -> Theater:
        return self._public(f"/api/movies/theaters/{theater_id}", Theater)

    def cities(self) -> Page[City]:
        return self._public("/api/movies/cities", Page[City])

    def shows(self, filters: Params) -> Page[Show]:
        return self._public("/api/movies/shows", Page[Show], filters)

    def days(self, filters: Params) -> list[date]:
        """The days with shows, the next one first."""
        return self._public("/api/movies/days", Days, filters).items

    def show(self, show_id: str) -> Show:
        return self._public(f"/api/movies/shows/{show_id}", Show)

    # booking; the seats are the same for everybody

    def seats(self, show_id: str) -> SeatMap:
        return self._public(f"/api/booking/shows/{show_id}/seats", SeatMap)

    def hold(self, token: str, wanted: Mapping[str, Any]) -> Hold:
        return self._send("POST", "/api/booking/holds", Hold, token, json=wanted)

    def change_seats(self, token: str, hold_id: str, wanted: Mapping[str, Any]) -> Hold:
        """Other seats for a hold; the show is the hold's own."""
        choice = {name: value for name, value in wanted.items() if name != "show_id"}
        path = f"/api/booking/holds/{hold_id}/seats"
        return self._send("PUT", path, Hold, token, json=choice)

    def held(self, token: str, hold_id: str) -> Hold:
        return self._get(f"/api/booking/holds/{hold_id}", Hold, token)

    def extend(self, token: str, hold_id: str) -> Hold:
        return self._send("POST", f"/api/booking/holds/{hold_id}/extend", Hold, token)

    def release(self, token: str, hold_id: str) -> None:
        self._ask("DELETE", f"/api/booking/holds/{hold_id}", token)

    def bookings(self, token: str, filters: Params) -> Page[Booking]:
        return self._get("/api/booking/bookings", Page[Booking], token, params=filters)

    def booking(self, token: str, booking_id: str) -> Booking:
        return self._get(f"/api/booking/bookings/{booking_id}", Booking, token)

    def tickets(self, token: str, booking_id: str) -> Page[Ticket]:
        return self._get(f"/api/booking/bookings/{booking_id}/tickets", Page[Ticket], token)

    def cancel(self, token: str, booking_id: str, seats: Sequence[str] = ()) -> Booking:
        """Without `seats`, all of it."""
        path = f"/api/booking/bookings/{booking_id}/cancel"
        named = {"json": {"seats": list(seats)}} if seats else {}
        return self._send("POST", path, Booking, token, **named)

    # payment

    def payment_provider(self) -> PaymentProvider:
        return self._public("/api/payment/provider", PaymentProvider)

    def pay(self, token: str, hold_id: str, card: str, key: str) -> Payment:
        """The same `key` again is the same payment again, never a second one.

        Without a `card` only what costs nothing can be paid.
        """
        body = {
            "hold_id": hold_id,
            "token": card,
            "return_path": f"/holds/{hold_id}/payment",
        }
        headers = {"Idempotency-Key": key}
        path = "/api/payment/payments"
        return self._send("POST", path, Payment, token, json=body, headers=headers)

    def payment(self, token: str, payment_id: str) -> Payment:
        return self._get(f"/api/payment/payments/{payment_id}", Payment, token)

    # ledger

    def ledger_status(self) -> Status:
        return self._get("/api/ledger/status", Status)

    def ledger_blocks(self, paging: Params) -> Page[Block]:
        return self._get("/api/ledger/blocks", Page[Block], params=paging)

    def ledger_block(self, height: int) -> Block:
        return self._get(f"/api/ledger/blocks/{height}", Block)

    def ledger_entries(self, booking_id: str) -> Page[Placed]:
        return self._get("/api/ledger/entries", Page[Placed], params={"booking_id": booking_id})

    def receipt(self, event_id: str) -> tuple[str, Receipt]:
        """The text as it is, too: it has one spelling, which nobody may change on the way."""
        response = self._ask("GET", f"/api/ledger/receipts/{event_id}")
        receipt = _decode(response, Receipt)
        return response.content.decode(), receipt

    def completeness(self, booking_id: str) -> str:
        """The text as it is, as with receipts."""
        response = self._ask("GET", f"/api/ledger/proofs/booking/{booking_id}")
        _decode(response, Completeness)
        return response.content.decode()

    def genesis(self) -> str:
        response = self._ask("GET", "/api/ledger/genesis")
        _decode(response, Genesis)
        return response.content.decode()

    # auth; each answer carries the refresh token beside the access token, if there is one

    def log_in(
        self, email: str, password: str, device: str | None = None
    ) -> tuple[Tokens, str | None, str | None]:
        """`device` is what an earlier sign-in on this browser gave, last in the answer."""
        body = {"email": email, "password": password}
        return self._enter("login", body, device)

    def request_link(self, email: str, purpose: str = "sign_in") -> None:
        self._ask("POST", "/api/auth/links", json={"email": email, "purpose": purpose})

    def erase(self, token: str, password: str) -> None:
        self._ask("POST", "/api/auth/me/erase", token, json={"password": password})

    def erase_by_link(self, code: str) -> None:
        self._ask("POST", "/api/auth/links/erase", json={"code": code})

    def own_account(self, token: str) -> dict[str, Any]:
        """What auth keeps of the caller."""
        return self._get("/api/auth/me/data", dict[str, Any], token)

    def own_data(self, token: str, service: str, after: str | None) -> Page[dict[str, Any]]:
        """What another service keeps of the caller, by page."""
        params = {"after": after} if after else None
        return self._get(f"/api/{service}/me/data", Page[dict[str, Any]], token, params=params)

    def use_link(
        self, code: str, password: str | None, device: str | None = None
    ) -> tuple[Tokens, str | None, str | None]:
        body = {"code": code} | ({"password": password} if password else {})
        return self._enter("links/use", body, device)

    def guest(self, email: str) -> tuple[Tokens, str | None]:
        return self._tokens("guest", json={"email": email})

    def refresh(self, refresh_token: str) -> tuple[Tokens, str | None]:
        return self._tokens("refresh", headers={"Cookie": f"{REFRESH_COOKIE}={refresh_token}"})

    def register(self, who: Mapping[str, str]) -> None:
        self._ask("POST", "/api/auth/register", json=who)

    def log_out(self, token: str | None, refresh_token: str | None) -> None:
        cookie = {"Cookie": f"{REFRESH_COOKIE}={refresh_token}"} if refresh_token else {}
        self._ask("POST", "/api/auth/logout", token, headers=cookie)

    def me(self, token: str) -> Account:
        return self._get("/api/auth/me", Account, token)

    def change_me(self, token: str, who: Mapping[str, str]) -> Account:
        return self._send("PUT", "/api/auth/me", Account, token, json=who)

    # how

    def _public(self, path: str, kind: type[T], params: Params | None = None) -> T:
        """Shared by all visitors for as long as the API allows: never with a token."""

        def ask(headers: Mapping[str, str]) -> httpx.Response:
            return self._ask("GET", path, headers=headers, params=params)

        question = (path, frozenset((params or {}).items()))
        return self._answers.get(question, ask, partial(_decode, kind=kind))

    def _get(
        self, path: str, kind: type[T], token: str | None = None, params: Params | None = None
    ) -> T:
        return _decode(self._ask("GET", path, token, params=params), kind)

    def _send(self, method: str, path: str, kind: type[T], token: str, **request: Any) -> T:
        return _decode(self._ask(method, path, token, **request), kind)

    def _enter(
        self, what: str, body: Mapping[str, str], device: str | None
    ) -> tuple[Tokens, str | None, str | None]:
        headers = {"Cookie": f"{DEVICE_COOKIE}={device}"} if device else {}
        response = self._ask("POST", f"/api/auth/{what}", json=body, headers=headers)
        cookies = response.cookies
        tokens = _decode(response, Tokens)
        return tokens, cookies.get(REFRESH_COOKIE), cookies.get(DEVICE_COOKIE)

    def _tokens(self, what: str, **request: Any) -> tuple[Tokens, str | None]:
        response = self._ask("POST", f"/api/auth/{what}", **request)
        return _decode(response, Tokens), response.cookies.get(REFRESH_COOKIE)

    def _ask(
        self,
        method: str,
        path: str,
        token: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> httpx.Response:
        carried = self._headers() | deadline.headers() | dict(headers or {})
        if token:
            carried["Authorization"] = f"Bearer {token}"
        try:
            response = self._client.request(
                method, path, headers=carried, timeout=_time(), **request
            )
        except httpx.TransportError as error:
            raise ApiDown from error
        if response.is_success or response.status_code == HTTPStatus.NOT_MODIFIED:
            return response
        raise _problem(response)


def _time() -> httpx.Timeout:
    """Of one call: a page makes several, and all of them together have the page's time."""
    seconds = deadline.remaining(ANSWER_SECONDS_MAX)
    return httpx.Timeout(seconds, connect=min(CONNECT_SECONDS_MAX, seconds))


def _decode(response: httpx.Response, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(response.content, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ApiProblem(502, "One of our systems gave an answer we do not understand.") from error


def _problem(response: httpx.Response) -> ApiProblem:
    try:
        body = msgspec.json.decode(response.content, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        body = {}
    body.pop("status", None)
    title = str(body.pop("title", "Something went wrong."))
    return ApiProblem(response.status_code, title, str(body.pop("detail", "")), **body)
