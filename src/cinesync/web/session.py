"""Who is visiting: tokens and the purchase under way, in the signed session cookie.

Flask signs this cookie but does not encrypt it. That is enough: it is HttpOnly and SameSite=Lax
(and Secure over https), and all it holds is its own visitor's credentials, which an encrypted
cookie in the same place would grant just as well to whoever has it.
"""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, current_app, g, request, session
from flask.sessions import SecureCookieSessionInterface

from cinesync.chassis import clock
from cinesync.chassis.http.security.access_tokens import session_of
from cinesync.chassis.http.security.revocations import Revocations
from cinesync.web.api_client import Api, ApiProblem
from cinesync.web.api_models import Hold, Show, Tokens

COOKIE_NAME = "cinesync"
REFRESH_BEFORE_SECONDS = 20
REFRESH_SHARED_SECONDS = 60
REFRESHES_REMEMBERED_MAX = 1_000
SIGNED_IN = ("access", "access_until", "refresh", "guest")


class SignInNeeded(Exception):
    """This page belongs to somebody: sign in first."""


class Sessions(SecureCookieSessionInterface):
    """The cookie is Secure whenever the visitor came over https."""

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 Flask's signature
        return request.is_secure


@dataclass(frozen=True, slots=True)
class Exchange:
    """One use of a refresh token; others who come with the same token share its outcome."""

    begun_seconds: float
    outcome: Future[tuple[Tokens, str | None]] = field(default_factory=Future)


class Refreshes:
    """Exchanges a refresh token once, however many tabs ask at about the same time.

    The auth service takes a refresh token's second use for theft, and it cannot know that two
    tabs, or a reload after a lost answer, are one person.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: OrderedDict[str, Exchange] = OrderedDict()

    def exchange(self, api: Api, refresh_token: str) -> tuple[Tokens, str | None]:
        """Raises what the API raises, to everyone who waits for this exchange."""
        fresh = Exchange(clock.monotonic_seconds())
        with self._lock:
            self._forget_old(fresh.begun_seconds)
            shared = self._exchanges.setdefault(refresh_token, fresh)
        if shared is fresh:
            self._run(api, refresh_token, fresh)
        return shared.outcome.result()

    def _run(self, api: Api, refresh_token: str, exchange: Exchange) -> None:
        try:
            exchange.outcome.set_result(api.refresh(refresh_token))
        except Exception as error:  # noqa: BLE001 whoever waits gets it; the next may try again
            with self._lock:
                self._exchanges.pop(refresh_token, None)
            exchange.outcome.set_exception(error)

    def _forget_old(self, now_seconds: float) -> None:
        while self._exchanges:
            oldest = next(iter(self._exchanges.values()))
            is_old = now_seconds - oldest.begun_seconds > REFRESH_SHARED_SECONDS
            if not is_old and len(self._exchanges) < REFRESHES_REMEMBERED_MAX:
                return
            self._exchanges.popitem(last=False)


def api() -> Api:
    """The APIs, as this request calls them."""
    one: Api = g.api
    return one


def start(issued: Tokens, refresh_token: str | None, *, guest: bool = False) -> None:
    """Signs the visitor in; what they were about to buy stays."""
    _keep(issued, refresh_token)
    session["guest"] = guest


def end() -> None:
    session.clear()


def forget_sign_in() -> None:
    """The tokens are worth nothing any more; the seats chosen stay."""
    for key in SIGNED_IN:
        session.pop(key, None)


def forget_if_revoked(revocations: Revocations) -> None:
    """A cookie is a copy that its owner cannot take back: it dies with its session."""
    if "access" not in session:
        return
    session_id, issued_at = session_of(session["access"])
    if revocations.has(session_id, issued_at, is_guest=is_guest()):
        session.clear()


def is_signed_in() -> bool:
    return "access" in session


def is_guest() -> bool:
    return bool(session.get("guest"))


def tokens() -> tuple[str | None, str | None]:
    """Access and refresh token, as far as there are any."""
    return session.get("access"), session.get("refresh")


def access_token() -> str:
    """A token that is good for some seconds more. Raises SignInNeeded."""
    if "access" not in session:
        raise SignInNeeded
    if session["access_until"] - clock.now().timestamp() < REFRESH_BEFORE_SECONDS:
        _refresh()
    token: str = session["access"]
    return token


def _refresh() -> None:
    _, old = tokens()
    if old is None:
        forget_sign_in()
        raise SignInNeeded
    refreshes: Refreshes = current_app.extensions["refreshes"]
    try:
        fresh, renewed = refreshes.exchange(api(), old)
    except ApiProblem as problem:
        if problem.status != 401:  # noqa: PLR2004 RFC 9110
            raise
        forget_sign_in()
        raise SignInNeeded from problem
    _keep(fresh, renewed or old)


def _keep(issued: Tokens, refresh_token: str | None) -> None:
    session["access"] = issued.access_token
    session["access_until"] = int(clock.now().timestamp()) + issued.expires_in
    session["refresh"] = refresh_token


# the purchase under way


def want(seats: dict[str, Any]) -> None:
    """Remembers what to hold once the visitor has signed in."""
    session["wanted"] = seats


def wanted() -> dict[str, Any] | None:
    seats: dict[str, Any] | None = session.get("wanted")
    return seats


def forget_wanted() -> None:
    session.pop("wanted", None)


def keep_hold(hold: Hold, show: Show) -> None:
    """Remembers the hold, so that every page can show its countdown."""
    forget_wanted()
    session["hold"] = {
        "hold_id": hold.hold_id,
        "show_id": show.show_id,
        "title": show.movie_title,
        "seats": hold.seats,
        # Kept as time left on the booking service's clock, turned into this clock's time.
        "until": clock.now().timestamp() + seconds_left(hold),
    }


def seconds_left(hold: Hold) -> float:
    """By the clock that made `expires_at`, when the answer tells what it showed."""
    return max(0.0, (hold.expires_at - (hold.server_time or clock.now())).total_seconds())


def keep_payment(hold_id: str, payment_id: str) -> None:
    session["payment"] = [hold_id, payment_id]


def payment_of(hold_id: str) -> str | None:
    """The last payment begun for this hold, as far as this browser knows."""
    begun_for, payment_id = session.get("payment", ("", ""))
    return payment_id if begun_for == hold_id else None


def current_hold() -> dict[str, Any] | None:
    """The hold under way, with `seconds_left`; None when there is none or its time is over."""
    hold: dict[str, Any] | None = session.get("hold")
    if hold is None:
        return None
    left = int(hold["until"] - clock.now().timestamp())
    if left > 0:
        return hold | {"seconds_left": left}
    forget_hold()
    return None


def hold_of(show_id: str) -> dict[str, Any] | None:
    """The hold under way, if it is of this show."""
    hold = current_hold()
    return hold if hold and hold["show_id"] == show_id else None


def forget_hold(hold_id: str | None = None) -> None:
    hold = session.get("hold")
    if hold and hold_id in (None, hold["hold_id"]):
        session.pop("hold")
