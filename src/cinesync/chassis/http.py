"""The HTTP side of every service: problems, tokens, pages of lists, OpenAPI, limits, traces."""

import base64
import binascii
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Generic, TypeVar

import flask_swagger_ui
import msgspec
from litestar import Litestar, Request, Response
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.static_files import create_static_files_router
from litestar.types import (
    ASGIApp,
    ControllerRouterHandler,
    ExceptionHandlersMap,
    Message,
    Receive,
    Scope,
    Send,
)
from opentelemetry import trace

from cinesync.chassis import telemetry
from cinesync.chassis.problems import Invalid, Problem, Unauthorized
from cinesync.chassis.tokens import Caller, Verifier

log = telemetry.get_logger(__name__)

T = TypeVar("T")

BODY_BYTES_MAX = 64 * 1024
PROBLEM_TYPE = "application/problem+json"
CURSOR_CHARS_MAX = 500
SLOW_SECONDS = 1.0
SWAGGER_ASSETS = Path(flask_swagger_ui.__file__).parent / "dist"


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


def service_app(
    name: str,
    routes: Sequence[ControllerRouterHandler],
    verifier: Verifier,
    *,
    body_bytes_max: int = BODY_BYTES_MAX,
) -> Litestar:
    """A service's API with everything that all of them share; docs at /api/<name>/docs."""

    async def visitor(request: Request[Any, Any, Any]) -> Caller | None:
        header = request.headers.get("authorization")
        if header is None:
            return None
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized("The Authorization header takes the form `Bearer <token>`.")
        return await verifier.verify(token.strip())

    async def caller(request: Request[Any, Any, Any]) -> Caller:
        somebody = await visitor(request)
        if somebody is None:
            raise Unauthorized
        return somebody

    assets = f"/api/{name}/docs-assets"
    return Litestar(
        route_handlers=[
            *routes,
            create_static_files_router(path=assets, directories=[SWAGGER_ASSETS]),
        ],
        dependencies={"caller": Provide(caller), "visitor": Provide(visitor)},
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=body_bytes_max,
        openapi_config=_openapi(name, assets),
        logging_config=None,
    )


def _openapi(name: str, assets: str) -> OpenAPIConfig:
    return OpenAPIConfig(
        title=f"CineSync {name}",
        version="1",
        path=f"/api/{name}",
        root_schema_site="swagger",
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
            }
        ),
        render_plugins=[
            JsonRenderPlugin(path="/openapi.json"),
            SwaggerRenderPlugin(
                path="/docs",
                js_url=f"{assets}/swagger-ui-bundle.js",
                css_url=f"{assets}/swagger-ui.css",
                standalone_preset_js_url=f"{assets}/swagger-ui-standalone-preset.js",
                favicon=f'<link rel="icon" href="{assets}/favicon-32x32.png">',
            ),
        ],
    )


def problem_response(problem: Problem) -> Response[bytes]:
    """RFC 9457 over HTTP, with the headers that its status asks for."""
    headers = {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if "retry_after_seconds" in problem.members:
        headers["Retry-After"] = str(problem.members["retry_after_seconds"])
    return Response(
        msgspec.json.encode(problem.as_dict()),
        status_code=problem.status,
        media_type=PROBLEM_TYPE,
        headers=headers,
    )


def _on_problem(_request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    return problem_response(problem)


def _on_http_exception(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    if isinstance(error, ValidationException):
        fields = error.extra if isinstance(error.extra, list) else []
        return problem_response(Invalid(_field_sentence(fields) or error.detail, errors=fields))
    status = HTTPStatus(error.status_code)
    body = {"type": "about:blank", "title": status.phrase, "status": status.value}
    if error.detail and error.detail != status.phrase:
        body["detail"] = error.detail
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        media_type=PROBLEM_TYPE,
        headers=error.headers,
    )


def _field_sentence(errors: Sequence[Any]) -> str:
    named = [f"{e.get('key', 'body')}: {e.get('message')}" for e in errors if isinstance(e, dict)]
    return "; ".join(named)


def _on_crash(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    log.error("http.crashed", path=request.url.path, exc_info=error)
    span = trace.get_current_span().get_span_context()
    body = {
        "type": "about:blank",
        "title": "Something broke on our side; it has been noted.",
        "status": 500,
        "trace_id": trace.format_trace_id(span.trace_id),
    }
    return Response(msgspec.json.encode(body), status_code=500, media_type=PROBLEM_TYPE)


EXCEPTION_HANDLERS: ExceptionHandlersMap = {
    Problem: _on_problem,
    HTTPException: _on_http_exception,
    Exception: _on_crash,
}


class Observed:
    """Around an ASGI app: continues the caller's trace, counts, times, and logs each request."""

    def __init__(self, app: ASGIApp, service: str) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        status = 500
        started = time.perf_counter()

        async def observed_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-trace-id", telemetry.trace_id(telemetry.current_trace()).encode()),
                ]
            await send(message)

        with telemetry.tracing(_header(scope, b"traceparent")):
            try:
                await self._app(scope, receive, observed_send)
            finally:
                self._note(scope, status, time.perf_counter() - started)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("path_template") or "unmatched"
        method = str(scope.get("method", ""))
        telemetry.HTTP_SECONDS.labels(self._service, method, route, str(status)).observe(seconds)
        log.info(
            "http.answered",
            service=self._service,
            method=method,
            path=scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 2),
        )


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")
