"""Around an ASGI app: the trace, the metrics, the log line and the deadline of each request."""

import time
from http import HTTPStatus

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from cinesync.chassis import deadline, telemetry
from cinesync.chassis.deadline import Deadlines, TookTooLong
from cinesync.chassis.http.asgi import header
from cinesync.chassis.http.security.response_headers import with_security_headers
from cinesync.chassis.http.server import refusals
from cinesync.chassis.http.server.refusals import METHODS
from cinesync.chassis.telemetry.traces import Span, Tracing

log = telemetry.get_logger(__name__)

TRACEPARENT = b"traceparent"
DEADLINE_HEADER = deadline.HEADER.encode()
CLIENT_GONE = 499
UNLOGGED = frozenset({"/health/live", "/health/ready", "/metrics"})  # requested every second


class ObservedApp:
    """Around an ASGI app: continues the client's trace, counts, times and logs each request.

    With `seconds_max`, a request whose response has not begun by then gets 503.
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
                message["headers"] = with_security_headers(headers)
            await send(message)

        with _tracing(scope, method) as span:
            # Read here: pages send from other threads.
            trace_id = telemetry.trace_id(telemetry.current_trace()).encode()
            try:
                if self._seconds_max is None:
                    await self._app(scope, receive, observed_send)
                else:
                    requested = header(scope, DEADLINE_HEADER)
                    within = self._deadlines.within(
                        deadline.requested_seconds(requested, self._seconds_max)
                    )
                    with within:
                        await self._app(scope, receive, observed_send)
            except TookTooLong as late:
                await refusals.respond(late, observed_send, is_for_people=False)
            finally:
                self._note(scope, method, status, time.perf_counter() - started)
                self._describe(span, scope, method, status)

    def _describe(self, span: Span | None, scope: Scope, method: str, status: int) -> None:
        """By the semantic conventions of OpenTelemetry."""
        if span is None:
            return
        route = scope.get("path_template") or ""
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "http.response.status_code": status,
            "url.path": scope["path"],
            "cinesync.service": self._service,
        }
        if route:
            attributes["http.route"] = route
        span.describe(f"{method} {route}".strip(), attributes)

    def _note(self, scope: Scope, method: str, status: int, seconds: float) -> None:
        # Labels have few values, whatever a client sends: a metric stores each value for ever.
        route = scope.get("path_template") or "unmatched"
        if params := scope.get("path_params"):
            telemetry.note(**{name: one for name, one in params.items() if name.endswith("_id")})
        method = method if method in METHODS else "other"
        telemetry.http_seconds(self._service, method, route, status).observe(seconds)
        log_line = log.debug if route in UNLOGGED and status == HTTPStatus.OK else log.info
        log_line(
            "http.answered",
            service=self._service,
            method=method,
            path=scope["path"],
            status=status,
            milliseconds=round(seconds * 1000, 2),
        )


def _tracing(scope: Scope, method: str) -> Tracing:
    """The trace that the client sent, or a new one. When spans are recorded, apps read the span of
    this request from the header."""
    name = "" if scope["path"] in UNLOGGED else method
    tracing = Tracing(header(scope, TRACEPARENT) or "", name, "server")
    if tracing.span is not None:
        others = [pair for pair in scope["headers"] if pair[0] != TRACEPARENT]
        scope["headers"] = [*others, (TRACEPARENT, tracing.span.traceparent.encode())]
    return tracing
