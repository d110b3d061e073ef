"""The HTTP side of every service: problems, tokens, pages of lists, OpenAPI, limits, traces."""

import base64
import binascii
import inspect
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import msgspec
from litestar import Litestar, Request, Response, get
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.handlers import BaseRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Reference,
    Schema,
    SecurityScheme,
)
from litestar.routes import HTTPRoute
from litestar.types import (
    ASGIApp,
    ControllerRouterHandler,
    ExceptionHandlersMap,
    Message,
    Receive,
    Scope,
    Send,
)

from cinesync.chassis import deadline, telemetry
from cinesync.chassis.database.database import sqlstate
from cinesync.chassis.deadline import Deadlines, TookTooLong
from cinesync.chassis.http import refusals, strict_bodies
from cinesync.chassis.http.access_tokens import Caller, Verifier
from cinesync.chassis.http.client_address import ClientAddresses
from cinesync.chassis.http.docs_assets import docs_assets
from cinesync.chassis.http.refusals import METHODS, PROBLEM_TYPE, protected
from cinesync.chassis.problems import Invalid, Problem, Unauthorized

log = telemetry.get_logger(__name__)

T = TypeVar("T")

JSON_TYPE = "application/json"

BODY_BYTES_MAX = 64 * 1024
DEADLINE_HEADER = deadline.HEADER.encode()
CURSOR_CHARS_MAX = 500
OPENAPI_TYPE = "application/vnd.oai.openapi+json"
CLIENT_GONE = 499
NOT_QUERY = frozenset({"db", "request", "caller", "data"})  # what a handler takes beside its query
UNLOGGED = frozenset({"/health/live", "/health/ready", "/metrics"})  # asked every second
NOT_TEXT_STATES = frozenset({"22021", "22P05"})


class UnsupportedBody(Problem):
    """The body is of a kind we do not read."""

    status = 415


class Unreadable(Problem):
    """The body cannot be read as JSON."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; `next` is the cursor that `after` takes, or null at the end."""

    items: Sequence[T]
    next: str | None


def encode_cursor(*parts: str) -> str:
    """An opaque text for the last row's key."""
    return base64.urlsafe_b64encode(msgspec.json.encode(parts)).decode().rstrip("=")


def decode_cursor(cursor: str, size: int) -> list[str]:
    """The `size` parts of a cursor. Raises Invalid for one that was not made here."""
    try:
        padded = cursor[:CURSOR_CHARS_MAX] + "=" * (-len(cursor) % 4)
        parts = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=list[str])
    except (ValueError, binascii.Error) as error:
        raise Invalid("`after` takes the `next` of an earlier answer.", field="after") from error
    if len(parts) != size or any("\x00" in part for part in parts):
        raise Invalid("`after` takes the `next` of an earlier answer.", field="after")
    return parts


def etag_of(body: bytes) -> str:
    """A tag that is the same for the same bytes (RFC 9110 section 8.8.3)."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def weak(tag: str) -> bytes:
    """The tag of something that is sent in several codings (RFC 9110 section 8.8.1)."""
    return f"W/{tag}".encode()


def is_known(tag: str, if_none_match: str) -> bool:
    """Whether the client has it already (RFC 9110 section 13.1.2)."""
    return tag in {one.strip().removeprefix("W/") for one in if_none_match.split(",")}


SIGNED_IN = {"signed_in": True}


async def signed_in(request: Request[Any, Any, Any]) -> Caller:
    """Who is asking, for the few hot handlers; others take the dependency `caller`.

    Litestar runs two dependencies in a task group, which costs as much as verifying a known token
    a hundred times. A handler that asks here says so with `opt=SIGNED_IN`. Raises Unauthorized.
    """
    somebody = await visitor(request)
    if somebody is None:
        raise Unauthorized
    return somebody


async def visitor(request: Request[Any, Any, Any]) -> Caller | None:
    """Who is asking, or None for nobody we know. Raises Unauthorized for a token that is bad."""
    verifier: Verifier = request.app.state.verifier
    return await caller_of(request.headers.get("authorization"), verifier)


async def caller_of(authorization: str | None, verifier: Verifier) -> Caller | None:
    """Whose token an Authorization header shows (RFC 6750 section 2.1). Raises Unauthorized."""
    if authorization is None:
        return None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthorized("The Authorization header takes the form `Bearer <token>`.")
    caller = await verifier.verify(token.strip())
    telemetry.note(actor=caller.customer_id, role=caller.role)
    return caller


async def verified(request: Request[Any, Any, Any], token: str) -> Caller:
    """Whose token it is. Raises Unauthorized, JwksUnavailable."""
    verifier: Verifier = request.app.state.verifier
    return await verifier.verify(token)


def know(request: Request[Any, Any, Any], caller: Caller) -> None:
    """Whose token this process has just made."""
    verifier: Verifier = request.app.state.verifier
    verifier.remember(caller)


def refuse_unknown_query(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """A misspelt filter must not look like an answer: refuse what the handler does not take."""
    takes = inspect.signature(handler.fn).parameters.keys() - NOT_QUERY
    takes -= connection.path_params.keys()
    unknown = sorted(set(connection.query_params) - takes)
    if unknown:
        allowed = ", ".join(sorted(takes)) or "none"
        raise Invalid(
            f"There is no query parameter {', '.join(unknown)} here; there is: {allowed}.",
            field=unknown[0],
        )


def service_app(
    name: str,
    routes: Sequence[ControllerRouterHandler],
    verifier: Verifier,
    *,
    addresses: ClientAddresses | None = None,
    body_bytes_max: int = BODY_BYTES_MAX,
) -> Litestar:
    """A service's API with everything that all of them share; docs at /api/<name>/docs."""

    @get(f"/api/{name}/openapi.json", media_type=OPENAPI_TYPE, include_in_schema=False)
    async def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return request.app.openapi_schema.to_schema()

    assets = f"/api/{name}/docs-assets"
    app = Litestar(
        route_handlers=[
            *routes,
            openapi,
            docs_assets(assets),
        ],
        before_request=_check_body,
        dependencies={"caller": Provide(signed_in), "visitor": Provide(visitor)},
        exception_handlers=EXCEPTION_HANDLERS,
        state=State({"verifier": verifier, "addresses": addresses or ClientAddresses()}),
        request_max_body_size=body_bytes_max,
        openapi_config=_openapi(name, assets),
        logging_config=None,
    )
    _document(app)
    strict_bodies.check(app)
    return app


def _openapi(name: str, assets: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title=f"CineSync {name}",
        version="1",
        path=f"/api/{name}/docs",
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
            },
            responses={"problem": PROBLEM_RESPONSE},
        ),
        render_plugins=[
            SwaggerRenderPlugin(
                path="/",
                js_url=f"{assets}/swagger-ui-bundle.js",
                css_url=f"{assets}/swagger-ui.css",
                standalone_preset_js_url=f"{assets}/swagger-ui-standalone-preset.js",
                favicon=f'<link rel="icon" href="{assets}/favicon-32x32.png">',
            ),
        ],
    )


PROBLEM_RESPONSE = OpenAPIResponse(
    description="What went wrong, as problem details (RFC 9457).",
    content={
        PROBLEM_TYPE: OpenAPIMediaType(
            schema=Schema(
                type=OpenAPIType.OBJECT,
                required=["type", "title", "status"],
                properties={
                    "type": Schema(type=OpenAPIType.STRING),
                    "title": Schema(type=OpenAPIType.STRING),
                    "status": Schema(type=OpenAPIType.INTEGER),
                    "detail": Schema(type=OpenAPIType.STRING),
                },
            )
        )
    },
)


@dataclass
class _Operation(Operation):
    """Answers what it says, or a problem: Litestar would describe errors of a shape not ours."""

    def __post_init__(self) -> None:
        answers = {s: r for s, r in (self.responses or {}).items() if s != "400"}
        self.responses = {**answers, "default": Reference(ref="#/components/responses/problem")}


def _document(app: Litestar) -> None:
    """Tell OpenAPI who must sign in: whoever takes `caller`."""
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    for handler in (handler for route in routes for handler in route.route_handlers):
        handler.operation_class = _Operation
        parameters = inspect.signature(handler.fn).parameters
        if "caller" in parameters or handler.opt.get("signed_in"):
            handler.security = [{"bearer": []}]
        elif "visitor" in parameters:
            handler.security = [{}, {"bearer": []}]


async def _check_body(request: Request[Any, Any, Any]) -> Response[bytes] | None:
    """A body is JSON: others are the ones a foreign page can send without asking (CORS).

    Where no body is taken, none may come with something to say.
    """
    stated = request.headers.get("content-type", JSON_TYPE).partition(";")[0].strip().lower()
    if stated == JSON_TYPE or request.headers.get("content-length", "0") == "0":
        await strict_bodies.refuse_needless(request)
        return None
    return problem_response(UnsupportedBody(f"Send {JSON_TYPE}, not {stated}."))


class Broken(Problem):
    """Something broke on our side; it has been noted."""

    status = 500

    @classmethod
    def type_uri(cls) -> str:
        """Nothing more can be said of it (RFC 9457 section 4.2.1)."""
        return "about:blank"


def problem_of(error: Exception, path: str) -> Problem:
    """What a client may know of an error. What nobody thought of is logged."""
    if isinstance(error, Problem):
        return error
    if sqlstate(error) in NOT_TEXT_STATES:
        return Invalid("A text may not contain the character NUL.")
    log.error("http.crashed", path=path, exc_info=error)
    return Broken(trace_id=telemetry.trace_id(telemetry.current_trace()))


def problem_headers(problem: Problem) -> dict[str, str]:
    """The headers that its status asks for."""
    headers = {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"
    if "retry_after_seconds" in problem.members:
        headers["retry-after"] = str(problem.members["retry_after_seconds"])
    return headers


def problem_response(problem: Problem) -> Response[bytes]:
    """RFC 9457 over HTTP."""
    return Response(
        msgspec.json.encode(problem.as_dict()),
        status_code=problem.status,
        media_type=PROBLEM_TYPE,
        headers=problem_headers(problem),
    )


def _on_problem(_request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    return problem_response(problem)


def _on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if isinstance(error, ValidationException):
        fields = [_field(e) for e in error.extra] if isinstance(error.extra, list) else []
        if unknown := strict_bodies.unknown_member(fields):
            return problem_response(unknown)
        detail = "; ".join(f"{field['key']}: {field['message']}" for field in fields)
        return problem_response(Invalid(detail or error.detail, errors=fields))
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _on_crash(request, error)
    status = HTTPStatus(error.status_code)
    body = {"type": "about:blank", "title": status.phrase, "status": status.value}
    if error.detail and error.detail != status.phrase:
        body["detail"] = error.detail
    return Response(
        msgspec.json.encode(body),
        status_code=status.value,
        media_type=PROBLEM_TYPE,
        headers=error.headers,
    )


def _field(error: dict[str, Any]) -> dict[str, Any]:
    """Litestar calls the body `data`, and a missing one `'data'`."""
    key, message = error.get("key", "data"), error["message"]
    return error | {
        "key": "body" if key == "data" else key,
        "message": "is missing" if message == repr(key) else message,
    }


def _on_unreadable(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Bytes that are no UTF-8, and JSON nested too deep, which the decoder lets through."""
    log.warning("http.unreadable", reason=type(error).__name__)
    return problem_response(Unreadable())


def _on_crash(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return problem_response(problem_of(error, request.url.path))


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    Problem: _on_problem,
    HTTPException: _on_http_exception,
    UnicodeDecodeError: _on_unreadable,
    RecursionError: _on_unreadable,
    Exception: _on_crash,
}


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of that name, which is in lower case."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("latin-1")
    return None


class Observed:
    """Around an ASGI app: continues the caller's trace, counts, times, and logs each request.

    With `seconds_max`, a request that has not begun to be answered by then is answered 503.
    """

    def __init__(self, app: ASGIApp, service: str, seconds_max: float | None = None) -> None:
        self._app = app
        self._service = service
        self._seconds_max = seconds_max
        self._deadlines = Deadlines()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        status = CLIENT_GONE
        within: deadline.Within | None = None
        started = time.perf_counter()
        method = str(scope["method"])
        if method == "HEAD":  # as GET; the server sends no body
            scope["method"] = "GET"

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                if within is not None:
                    self._deadlines.lift(within)
                status = message["status"]
                headers = [*message["headers"], (b"x-trace-id", trace_id)]
                message["headers"] = protected(headers)
            await send(message)

        with telemetry.Tracing(header(scope, b"traceparent") or ""):
            # Read here: pages send from threads of their own.
            trace_id = telemetry.trace_id(telemetry.current_trace()).encode()
            try:
                if self._seconds_max is None:
                    await self._app(scope, receive, observed_send)
                else:
                    asked = header(scope, DEADLINE_HEADER)
                    within = self._deadlines.within(deadline.asked_for(asked, self._seconds_max))
                    with within:
                        await self._app(scope, receive, observed_send)
            except TookTooLong as late:
                await refusals.answer(late, observed_send, is_for_people=False)
            finally:
                self._note(scope, method, status, time.perf_counter() - started)

    def _note(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        # Labels from a small set each, whatever a client sends: every new value is kept for ever.
        route = scope.get("path_template") or "unmatched"
        if params := scope.get("path_params"):
            telemetry.note(**{name: one for name, one in params.items() if name.endswith("_id")})
        method = method if method in METHODS else "other"
        telemetry.http_seconds(self._service, method, route, status).observe(seconds)
        note = log.debug if route in UNLOGGED and status == HTTPStatus.OK else log.info
        note(
            "http.answered",
            service=self._service,
            method=method,
            path=scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 2),
        )
