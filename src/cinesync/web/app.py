"""Settings and wiring of the web pages."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import httpx
from flask import Flask, g, request
from flask_bootstrap import Bootstrap5

from cinesync.chassis import deadline, telemetry
from cinesync.chassis.http.security.revocations import Revocations
from cinesync.chassis.http.security.signed_client_address import VISITOR_HEADER, AddressSigner
from cinesync.chassis.settings import Secret
from cinesync.web import errors, formats, security, session
from cinesync.web.account import routes as account
from cinesync.web.api_client import ApiClient, open_client
from cinesync.web.explorer import routes as explorer
from cinesync.web.storefront import routes as storefront

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication

FORM_BYTES_MAX = 64 * 1024
PAGE_SECONDS_MAX = 15.0  # like any API request
STATIC_SECONDS = 300


@dataclass(frozen=True)
class Settings:
    api_url: Annotated[str, "Where the APIs answer: the gateway, or this very process."]
    secret_key: Annotated[str, "Signs the visitors' session cookies.", Secret()]
    web_trusted_proxies: Annotated[int, "Proxies whose X-Forwarded-* headers are believed."] = 0


def create(
    settings: Settings,
    transport: httpx.BaseTransport | None = None,
    revocations: Revocations | None = None,
) -> Flask:
    """The pages as a WSGI application; its process shares `revocations`.

    Tests pass a `transport` that replaces the network.
    """
    app = Flask("cinesync.web")
    app.config.update(
        SECRET_KEY=settings.secret_key,
        SESSION_COOKIE_NAME=session.COOKIE_NAME,
        SESSION_COOKIE_SAMESITE="Lax",
        MAX_CONTENT_LENGTH=FORM_BYTES_MAX,
        SEND_FILE_MAX_AGE_DEFAULT=STATIC_SECONDS,
        BOOTSTRAP_SERVE_LOCAL=True,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session: a seat map may stay open for hours
    )
    app.session_interface = session.SessionCookies()
    app.extensions["refreshes"] = session.Refreshes()
    client = open_client(settings.api_url, transport)
    _prepare_requests(app, client, AddressSigner(settings.secret_key), revocations or Revocations())
    for install in (Bootstrap5, security.ForgeryGuard, formats.install, errors.install):
        install(app)
    for area in (storefront, account, explorer):
        app.register_blueprint(area.blueprint)
    app.context_processor(_base_page)
    app.wsgi_app = Traced(app.wsgi_app)  # type: ignore[method-assign]
    security.install(app, settings.web_trusted_proxies)
    return app


def _prepare_requests(
    app: Flask, client: httpx.Client, signature: AddressSigner, revocations: Revocations
) -> None:
    def headers() -> dict[str, str]:
        # The services limit requests by address: they need the visitor's, not ours.
        return {
            "traceparent": telemetry.current_trace(),
            "X-Forwarded-For": request.remote_addr or "",
            VISITOR_HEADER: signature.sign(request.remote_addr or ""),
        }

    api = ApiClient(client, headers)

    @app.before_request
    def prepare() -> None:
        g.api = api
        session.forget_if_revoked(revocations)


def _base_page() -> dict[str, Any]:
    """The variables of base.html."""
    return {
        "signed_in": session.is_signed_in(),
        "guest": session.is_guest(),
        "hold_strip": session.current_hold(),
    }


class Traced:
    """Runs each request in its caller's trace, or in a new one, and with a deadline."""

    def __init__(self, inner: "WSGIApplication") -> None:
        self._inner = inner

    def __call__(self, environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
        trace = environ.get("HTTP_TRACEPARENT") or telemetry.current_trace()
        with telemetry.Tracing(trace), deadline.carried(PAGE_SECONDS_MAX):
            return self._inner(environ, start_response)
