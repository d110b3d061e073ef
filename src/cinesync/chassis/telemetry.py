"""Logs, metrics, and the trace that follows a purchase through HTTP and events."""

import logging
from contextvars import ContextVar
from functools import cache
from typing import Any, TextIO

import msgspec
import structlog
from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Gauge, Histogram

from cinesync.chassis import clock
from cinesync.chassis.log_stream import LINES_LOST, LogStream, never_wait, reopen_on_hangup

HTTP_SECONDS = Histogram(
    "cinesync_http_seconds",
    "Time to answer a request.",
    ["service", "method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
DATABASE_RETRIES = Counter(
    "cinesync_database_retries_total", "Transactions begun again, by reason.", ["reason"]
)
EVENTS_RELAYED = Counter("cinesync_events_relayed_total", "Outbox rows delivered.", ["service"])
EVENTS_WAITING = Gauge("cinesync_events_waiting", "Outbox rows of the last look.", ["service"])
EVENTS_HANDLED = Counter("cinesync_events_handled_total", "Events consumed.", ["queue", "outcome"])
BATCH_SIZE = Histogram(
    "cinesync_batch_size",
    "Commands in one transaction.",
    ["batcher"],
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500),
)


# prometheus_client looks a child up under a lock each time, after making texts of all labels.
@cache
def http_seconds(service: str, method: str, route: str, status: int) -> Histogram:
    """HTTP_SECONDS with these labels; there are as many as the metric keeps anyway."""
    return HTTP_SECONDS.labels(service, method, route, str(status))


_propagator = TraceContextTextMapPropagator()
# A text of our own: keeping the trace in OpenTelemetry's context costs a request 20 µs.
_traceparent: ContextVar[str] = ContextVar("traceparent", default="")
# Who asks, and for what. One dict a request: what its tasks find out is in the lines of all.
_facts: ContextVar[dict[str, Any] | None] = ContextVar("facts", default=None)


def configure_logging(
    level: str = "INFO", *, json_lines: bool = True, stream: TextIO | None = None
) -> None:
    """One line per event on `stream` (stderr); Python's own loggers included. Call once, at start.

    Our own lines are written straight to it: through Python's loggers each costs ten times
    as much. Logging never raises, whatever happens to the stream or is to be logged.
    """
    out: Any = stream if stream is not None else _stderr()
    logging.raiseExceptions = False
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_request,
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(serializer=_as_json)
        if json_lines
        else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=_never_raising(level),
        logger_factory=structlog.WriteLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for noisy in ("httpx", "httpcore", "aiormq", "aio_pika", "alembic", "_granian"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _stderr() -> LogStream:
    """The process's own, from now on: SIGHUP reopens it when it is a file."""
    never_wait()
    stream = LogStream()
    reopen_on_hangup(stream)
    return stream


def _never_raising(level: str) -> type[structlog.typing.FilteringBoundLogger]:
    """Logs are written in `except` clauses, where one more error would end what recovers."""
    filtering: Any = structlog.make_filtering_bound_logger(level)

    class NeverRaising(filtering):  # type: ignore[misc]  # made at run time
        def _proxy_to_logger(
            self, level_name: str, /, event: str | None = None, **told: Any
        ) -> Any:
            try:
                return super()._proxy_to_logger(level_name, event, **told)
            except Exception:  # noqa: BLE001 there is nobody to tell
                LINES_LOST.inc()

    return NeverRaising


def _as_json(line: structlog.typing.EventDict, **_: object) -> str:
    return msgspec.json.encode(line, enc_hook=repr).decode()


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A structured logger; the current trace id is added to each line."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger


def _add_request(
    _logger: object, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if (here := current_trace()) and "trace_id" not in line:
        line["trace_id"] = trace_id(here)
    return {**facts, **line} if (facts := _facts.get()) else line


def note(**facts: Any) -> None:
    """In every line of this request from now on, such as `actor` or `booking_id`; outside of one,
    nothing."""
    noted = _facts.get()
    if noted is not None:
        noted.update(facts)


def current_trace() -> str:
    """The `traceparent` (W3C Trace Context) of what is running now, or an empty text."""
    return _traceparent.get()


def trace_id(traceparent: str) -> str:
    """The 32 hex digits of a `traceparent`, or an empty text."""
    return traceparent[3:35]


class Tracing:
    """Continue `traceparent`; an empty or invalid one starts a new trace."""

    def __init__(self, traceparent: str) -> None:
        self._traceparent = (traceparent and _valid(traceparent)) or _new()

    def __enter__(self) -> None:
        self._token = _traceparent.set(self._traceparent)
        self._noted = _facts.set({})

    def __exit__(self, *_error: object) -> None:
        _traceparent.reset(self._token)
        _facts.reset(self._noted)


def _valid(traceparent: str) -> str:
    """As we write it ourselves, or an empty text."""
    carrier: dict[str, str] = {}
    span = trace.get_current_span(_propagator.extract({"traceparent": traceparent}))
    _propagator.inject(carrier, trace.set_span_in_context(span))
    return carrier.get("traceparent", "")


def _new() -> str:
    # All zeros are invalid (W3C Trace Context section 3.2.2.3).
    return f"00-{clock.trace_bits(128) or 1:032x}-{clock.trace_bits(64) or 1:016x}-01"
