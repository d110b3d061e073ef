"""The visitor's session in a signed cookie: tokens, and the purchase in progress.

Flask signs this cookie but does not encrypt it. That is enough: it is HttpOnly and SameSite=Lax
(and Secure over https), and it holds only the visitor's own credentials. Whoever steals the cookie
could use it encrypted just as well.
"""

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from cachetools import TTLCache
from flask import Flask, current_app, g, request, session
from flask.sessions import SecureCookieSessionInterface

from cinesync.chassis import clock
from cinesync.chassis.http.security.access_tokens import session_of
from cinesync.chassis.http.security.revocations import Revocations
from cinesync.web.api_client import ApiClient, ApiProblem
from cinesync.web.api_models import Hold, Show, Tokens

COOKIE_NAME = "cinesync"
REFRESH_BEFORE_SECONDS = 20
REFRESH_SHARED_SECONDS = 60
REFRESHES_MAX = 1_000
SIGNED_IN = ("access", "access_until", "refresh", "guest")


class SignInNeeded(Exception):
    """This page needs a signed-in visitor."""


class SessionCookies(SecureCookieSessionInterface):
    """The cookie is Secure when the request came over https."""

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002 Flask's signature
        return request.is_secure


@dataclass(frozen=True, slots=True)
class Refresh:
    """One use of a refresh token. Requests with the same token share its result."""

    result: Future[tuple[Tokens, str | None]] = field(default_factory=Future)


class Refreshes:
    """Uses each refresh token once, however many tabs need new tokens at about the same time.

    Auth takes the second use of a refresh token for theft. It cannot know that two tabs, or a
    reload after a lost response, are one person.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._refreshes: TTLCache[str, Refresh] = TTLCache(
            REFRESHES_MAX, REFRESH_SHARED_SECONDS, timer=clock.monotonic_seconds
        )

    def refresh(self, client: ApiClient, refresh_token: str) -> tuple[Tokens, str | None]:
        """New tokens. Every request that shares this refresh gets its error, too."""
        new = Refresh()
        with self._lock:
            shared = self._refreshes.setdefault(refresh_token, new)
        if shared is new:
            self._run(client, refresh_token, new)
        return shared.result.result()

    def _run(self, client: ApiClient, refresh_token: str, refresh: Refresh) -> None:
        try:
            refresh.result.set_result(client.refresh(refresh_token))
        except Exception as error:  # noqa: BLE001 all who wait get it; the next request may retry
            with self._lock:
                self._refreshes.pop(refresh_token, None)
            refresh.result.set_exception(error)


def api() -> ApiClient:
    """The API client of this request."""
    client: ApiClient = g.api
    return client


def start(issued: Tokens, refresh_token: str | None, *, guest: bool = False) -> None:
    """Sign the visitor in; the purchase in progress stays."""
    _store_tokens(issued, refresh_token)
    session["guest"] = guest


def end() -> None:
    session.clear()


def forget_sign_in() -> None:
    """Drop the tokens, which are no longer valid; the chosen seats stay."""
    for key in SIGNED_IN:
        session.pop(key, None)


def forget_if_revoked(revocations: Revocations) -> None:
    """Clear a session that auth has ended: copies of its cookie must not work any more."""
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
    """The access token and the refresh token, if any."""
    return session.get("access"), session.get("refresh")


def access_token() -> str:
    """A token that stays valid for some seconds. Raises SignInNeeded."""
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
        issued, renewed = refreshes.refresh(api(), old)
    except ApiProblem as problem:
        if not problem.is_unauthorized:
            raise
        forget_sign_in()
        raise SignInNeeded from problem
    _store_tokens(issued, renewed or old)


def _store_tokens(issued: Tokens, refresh_token: str | None) -> None:
    session["access"] = issued.access_token
    session["access_until"] = int(clock.now().timestamp()) + issued.expires_in
    session["refresh"] = refresh_token


# the purchase in progress


def defer_hold(hold_request: dict[str, Any]) -> None:
    """Store the seats to hold once the visitor has signed in."""
    session["wanted"] = hold_request


def deferred_hold() -> dict[str, Any] | None:
    hold_request: dict[str, Any] | None = session.get("wanted")
    return hold_request


def forget_deferred_hold() -> None:
    session.pop("wanted", None)


def store_hold(hold: Hold, show: Show) -> None:
    """Store the hold, so that every page shows its countdown."""
    forget_deferred_hold()
    session["hold"] = {
        "hold_id": hold.hold_id,
        "show_id": show.show_id,
        "title": show.movie_title,
        "seats": hold.seats,
        # The seconds left by booking's clock, added to the time of this clock.
        "until": clock.now().timestamp() + seconds_left(hold),
    }


def seconds_left(hold: Hold) -> float:
    """By the clock of `expires_at`, if the response says what it shows."""
    return max(0.0, (hold.expires_at - (hold.server_time or clock.now())).total_seconds())


def store_payment(hold_id: str, payment_id: str) -> None:
    session["payment"] = [hold_id, payment_id]


def payment_of(hold_id: str) -> str | None:
    """The last payment that this browser started for the hold."""
    paid_hold_id, payment_id = session.get("payment", ("", ""))
    return payment_id if paid_hold_id == hold_id else None


def current_hold() -> dict[str, Any] | None:
    """The hold in progress with its `seconds_left`; None if there is none or it has expired."""
    hold: dict[str, Any] | None = session.get("hold")
    if hold is None:
        return None
    left = int(hold["until"] - clock.now().timestamp())
    if left > 0:
        return hold | {"seconds_left": left}
    forget_hold()
    return None


def hold_of(show_id: str) -> dict[str, Any] | None:
    """The hold in progress, if it is for this show."""
    hold = current_hold()
    return hold if hold and hold["show_id"] == show_id else None


def forget_hold(hold_id: str | None = None) -> None:
    hold = session.get("hold")
    if hold and hold_id in (None, hold["hold_id"]):
        session.pop("hold")
