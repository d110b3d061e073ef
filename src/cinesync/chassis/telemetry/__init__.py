"""Logs, metrics and traces of a process; spans are exported when an endpoint is set."""

from cinesync.chassis.telemetry.logs import configure_logging, get_logger
from cinesync.chassis.telemetry.metrics import (
    BATCH_SIZE,
    DATABASE_RETRIES,
    EVENTS_HANDLED,
    EVENTS_RELAYED,
    EVENTS_WAITING,
    HTTP_SECONDS,
    http_seconds,
)
from cinesync.chassis.telemetry.traces import (
    Tracing,
    batch_span,
    client_span,
    current_trace,
    note,
    trace_id,
)

__all__ = [
    "BATCH_SIZE",
    "DATABASE_RETRIES",
    "EVENTS_HANDLED",
    "EVENTS_RELAYED",
    "EVENTS_WAITING",
    "HTTP_SECONDS",
    "Tracing",
    "batch_span",
    "client_span",
    "configure_logging",
    "current_trace",
    "get_logger",
    "http_seconds",
    "note",
    "trace_id",
]
