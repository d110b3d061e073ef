"""The pages' client of all APIs: one method per operation, timeouts, problems as exceptions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import partial
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, TypeVar

import httpx
import msgspec

from cinesync.chassis import deadline
from cinesync.proofs import completeness, genesis, receipts
from cinesync.proofs.receipts import Receipt
from cinesync.proofs.strict_json import InvalidDocument
from cinesync.web.api_cache import ApiCache
from cinesync.web.api_models import (
    Booking,
    City,
    CustomerProfile,
    Hold,
    ListPage,
    Movie,
    MovieFilters,
    Payment,
    PaymentProvider,
    SeatMap,
    Show,
    ShowDays,
    Theater,
    Ticket,
    Tokens,
)
from cinesync.web.ledger_models import LedgerBlock, LedgerStatus, LogEntry, block_from_json
from cinesync.web.wording import SENTENCES

T = TypeVar("T")
Params = Mapping[str, str | int]

REFRESH_COOKIE = "cinesync_refresh"
DEVICE_COOKIE = "cinesync_device"
CONNECT_SECONDS_MAX = 2.0
RESPONSE_SECONDS_MAX = 10.0
CONNECTIONS_MAX = 100
UNREADABLE_RESPONSE = "One of our systems sent an answer that we cannot read."


class ApiProblem(Exception):
    """An API refused a request: its RFC 9457 problem details, as far as it sent any."""

    def __init__(self, status: int, title: str, detail: str = "", **members: Any) -> None:
        super().__init__(detail or title)
        self.status = status
        self.title = title
        self.detail = detail
        self.members = members

    @property
    def is_unauthorized(self) -> bool:
        return self.status == HTTPStatus.UNAUTHORIZED

    @property
    def is_server_error(self) -> bool:
        return self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def kind(self) -> str:
        """The last part of the problem's type: `already-paid`."""
        return str(self.members.get("type", "")).rpartition("/")[2]

    @property
    def sentence(self) -> str:
        """For the visitor to read."""
        return SENTENCES.get(self.kind) or self.detail or self.title

    @property
    def field_errors(self) -> dict[str, str]:
        """The message for each form field that the API names."""
        errors = self.members.get("errors")
        listed = errors if isinstance(errors, list) else []
        return {
            str(error["key"]): str(error["message"])
            for error in listed
            if isinstance(error, dict) and {"key", "message"} <= error.keys()
        }


class ApiUnreachable(ApiProblem):
    """An API did not respond in time. It may have done what the request asked for."""

    def __init__(self) -> None:
        super().__init__(503, "We cannot reach our own systems right now.")


def open_client(api_url: str, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """One connection pool for all threads."""
    return httpx.Client(
        base_url=api_url,
        transport=transport,
        # All customers share the pool: it must not store anyone's refresh cookie.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        # The APIs are near: compression would cost more than it saves.
        headers={"Accept-Encoding": "identity"},
        limits=httpx.Limits(max_connections=CONNECTIONS_MAX),
    )


class ApiClient:
    """One method per API operation. `headers` makes the headers that every request carries."""

    def __init__(self, client: httpx.Client, headers: Callable[[], dict[str, str]]) -> None:
        self._client = client
        self._headers = headers
        self._cache = ApiCache()

    # movies: the same for everybody

    def movies(self, filters: Params) -> ListPage[Movie]:
        return self._public("/api/movies/movies", ListPage[Movie], filters)

    def movie(self, movie_id: str) -> Movie:
        return self._public(f"/api/movies/movies/{movie_id}", Movie)

    def filters(self) -> MovieFilters:
        return self._public("/api/movies/filters", MovieFilters)

    def theaters(self, filters: Params) -> ListPage[Theater]:
        return self._public("/api/movies/theaters", ListPage[Theater], filters)

    def theater(self, theater_id: str) -> Theater:
        return self._public(f"/api/movies/theaters/{theater_id}", Theater)

    def cities(self) -> ListPage[City]:
        return self._public("/api/movies/cities", ListPage[City])

    def shows(self, filters: Params) -> ListPage[Show]:
        return self._public("/api/movies/shows", ListPage[Show], filters)

    def days(self, filters: Params) -> list[date]:
        """The days with shows, the earliest first."""
        return self._public("/api/movies/days", ShowDays, filters).items

    def show(self, show_id: str) -> Show:
        return self._public(f"/api/movies/shows/{show_id}", Show)

    # booking; the seats are the same for everybody

    def seats(self, show_id: str) -> SeatMap:
        return self._public(f"/api/booking/shows/{show_id}/seats", SeatMap)

    def hold_seats(self, token: str, hold_request: Mapping[str, Any]) -> Hold:
        return self._send("POST", "/api/booking/holds", Hold, token, json=hold_request)

    def change_seats(self, token: str, hold_id: str, hold_request: Mapping[str, Any]) -> Hold:
        """Exchange the seats of a hold for others of the same show."""
        body = {name: value for name, value in hold_request.items() if name != "show_id"}
        path = f"/api/booking/holds/{hold_id}/seats"
        return self._send("PUT", path, Hold, token, json=body)

    def find_hold(self, token: str, hold_id: str) -> Hold:
        return self._get(f"/api/booking/holds/{hold_id}", Hold, token)

    def extend(self, token: str, hold_id: str) -> Hold:
        return self._send("POST", f"/api/booking/holds/{hold_id}/extend", Hold, token)

    def release(self, token: str, hold_id: str) -> None:
        self._request("DELETE", f"/api/booking/holds/{hold_id}", token)

    def bookings(self, token: str, filters: Params) -> ListPage[Booking]:
        return self._get("/api/booking/bookings", ListPage[Booking], token, params=filters)

    def booking(self, token: str, booking_id: str) -> Booking:
        return self._get(f"/api/booking/bookings/{booking_id}", Booking, token)

    def tickets(self, token: str, booking_id: str) -> ListPage[Ticket]:
        return self._get(f"/api/booking/bookings/{booking_id}/tickets", ListPage[Ticket], token)

    def cancel(self, token: str, booking_id: str, seats: Sequence[str] = ()) -> Booking:
        """Cancel these seats, or the whole booking."""
        path = f"/api/booking/bookings/{booking_id}/cancel"
        body = {"json": {"seats": list(seats)}} if seats else {}
        return self._send("POST", path, Booking, token, **body)

    # payment

    def payment_provider(self) -> PaymentProvider:
        return self._public("/api/payment/provider", PaymentProvider)

    def pay(self, token: str, hold_id: str, card: str, key: str) -> Payment:
        """A repeated `key` returns the first payment and never starts a second one.

        `card` may be empty only if the hold costs nothing.
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

    def ledger_status(self) -> LedgerStatus:
        return self._get("/api/ledger/status", LedgerStatus)

    def ledger_blocks(self, paging: Params) -> ListPage[LedgerBlock]:
        found = self._get("/api/ledger/blocks", ListPage[dict[str, Any]], params=paging)
        with _readable():
            blocks = [block_from_json(one) for one in found.items]
        return ListPage(blocks, found.next)

    def ledger_block(self, height: int) -> LedgerBlock:
        found = self._get(f"/api/ledger/blocks/{height}", dict[str, Any])
        with _readable():
            return block_from_json(found)

    def ledger_entries(self, booking_id: str) -> ListPage[LogEntry]:
        params = {"booking_id": booking_id}
        return self._get("/api/ledger/entries", ListPage[LogEntry], params=params)

    def receipt(self, event_id: str) -> tuple[str, Receipt]:
        """The receipt, and its file byte for byte: verification needs the canonical encoding."""
        data = self._request("GET", f"/api/ledger/receipts/{event_id}").content
        with _readable():
            receipt = receipts.from_json(receipts.parsed(data, "receipt"), "receipt")
        return data.decode(), receipt

    def completeness(self, booking_id: str) -> str:
        """The proof's file, byte for byte."""
        data = self._request("GET", f"/api/ledger/proofs/booking/{booking_id}").content
        with _readable():
            completeness.from_json(receipts.parsed(data, "completeness"), "completeness")
        return data.decode()

    def genesis(self) -> str:
        """The genesis file, byte for byte."""
        data = self._request("GET", "/api/ledger/genesis").content
        with _readable():
            genesis.load(data)
        return data.decode()

    # auth; with an access token comes a refresh token, unless the customer is a guest

    def log_in(
        self, email: str, password: str, device: str | None = None
    ) -> tuple[Tokens, str | None, str | None]:
        """The tokens, the refresh token and the device cookie.

        `device` is the device cookie of an earlier sign-in with this browser.
        """
        body = {"email": email, "password": password}
        return self._sign_in("login", body, device)

    def request_link(self, email: str, purpose: str = "sign_in") -> None:
        self._request("POST", "/api/auth/links", json={"email": email, "purpose": purpose})

    def erase(self, token: str, password: str) -> None:
        self._request("POST", "/api/auth/me/erase", token, json={"password": password})

    def erase_by_link(self, code: str) -> None:
        self._request("POST", "/api/auth/links/erase", json={"code": code})

    def own_account(self, token: str) -> dict[str, Any]:
        """The personal data that auth stores."""
        return self._get("/api/auth/me/data", dict[str, Any], token)

    def own_data(self, token: str, service: str, after: str | None) -> ListPage[dict[str, Any]]:
        """One page of the personal data that another service stores."""
        params = {"after": after} if after else None
        return self._get(f"/api/{service}/me/data", ListPage[dict[str, Any]], token, params=params)

    def use_link(
        self, code: str, password: str | None, device: str | None = None
    ) -> tuple[Tokens, str | None, str | None]:
        body = {"code": code} | ({"password": password} if password else {})
        return self._sign_in("links/use", body, device)

    def guest(self, email: str) -> tuple[Tokens, str | None]:
        return self._tokens("guest", json={"email": email})

    def refresh(self, refresh_token: str) -> tuple[Tokens, str | None]:
        return self._tokens("refresh", headers={"Cookie": f"{REFRESH_COOKIE}={refresh_token}"})

    def register(self, customer: Mapping[str, str]) -> None:
        self._request("POST", "/api/auth/register", json=customer)

    def log_out(self, token: str | None, refresh_token: str | None) -> None:
        cookie = {"Cookie": f"{REFRESH_COOKIE}={refresh_token}"} if refresh_token else {}
        self._request("POST", "/api/auth/logout", token, headers=cookie)

    def me(self, token: str) -> CustomerProfile:
        return self._get("/api/auth/me", CustomerProfile, token)

    def change_me(self, token: str, profile: Mapping[str, str]) -> CustomerProfile:
        return self._send("PUT", "/api/auth/me", CustomerProfile, token, json=profile)

    # requests

    def _public(self, path: str, kind: type[T], params: Params | None = None) -> T:
        """A response that all visitors share through the cache: never with a token."""

        def send(headers: Mapping[str, str]) -> httpx.Response:
            return self._request("GET", path, headers=headers, params=params)

        key = (path, frozenset((params or {}).items()))
        return self._cache.get(key, send, partial(_decode, kind=kind))

    def _get(
        self, path: str, kind: type[T], token: str | None = None, params: Params | None = None
    ) -> T:
        return _decode(self._request("GET", path, token, params=params), kind)

    def _send(self, method: str, path: str, kind: type[T], token: str, **request: Any) -> T:
        return _decode(self._request(method, path, token, **request), kind)

    def _sign_in(
        self, path: str, body: Mapping[str, str], device: str | None
    ) -> tuple[Tokens, str | None, str | None]:
        headers = {"Cookie": f"{DEVICE_COOKIE}={device}"} if device else {}
        response = self._request("POST", f"/api/auth/{path}", json=body, headers=headers)
        cookies = response.cookies
        tokens = _decode(response, Tokens)
        return tokens, cookies.get(REFRESH_COOKIE), cookies.get(DEVICE_COOKIE)

    def _tokens(self, path: str, **request: Any) -> tuple[Tokens, str | None]:
        response = self._request("POST", f"/api/auth/{path}", **request)
        return _decode(response, Tokens), response.cookies.get(REFRESH_COOKIE)

    def _request(
        self,
        method: str,
        path: str,
        token: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> httpx.Response:
        sent = self._headers() | deadline.headers() | dict(headers or {})
        if token:
            sent["Authorization"] = f"Bearer {token}"
        try:
            response = self._client.request(
                method, path, headers=sent, timeout=_timeout(), **request
            )
        except httpx.TransportError as error:
            raise ApiUnreachable from error
        if response.is_success or response.status_code == HTTPStatus.NOT_MODIFIED:
            return response
        raise _problem(response)


def _timeout() -> httpx.Timeout:
    """Of one request. All requests of a page together have the page's deadline."""
    seconds = deadline.remaining(RESPONSE_SECONDS_MAX)
    return httpx.Timeout(seconds, connect=min(CONNECT_SECONDS_MAX, seconds))


def _decode(response: httpx.Response, kind: type[T]) -> T:
    with _readable():
        return msgspec.json.decode(response.content, type=kind)


@contextmanager
def _readable() -> Iterator[None]:
    """Raises ApiProblem when an API's response is not what it documents."""
    try:
        yield
    except (msgspec.MsgspecError, InvalidDocument) as error:
        raise ApiProblem(HTTPStatus.BAD_GATEWAY, UNREADABLE_RESPONSE) from error


def _problem(response: httpx.Response) -> ApiProblem:
    try:
        body = msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        body = {}
    body.pop("status", None)
    title = str(body.pop("title", "Something went wrong."))
    return ApiProblem(response.status_code, title, str(body.pop("detail", "")), **body)
