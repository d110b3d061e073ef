"""Structured log lines: JSON on standard error, with the trace and the facts of the request."""

import logging
from typing import Any, TextIO

import msgspec
import structlog

from cinesync.chassis.telemetry.log_stream import (
    LINES_LOST,
    LogStream,
    never_wait,
    reopen_on_hangup,
)
from cinesync.chassis.telemetry.traces import current_trace, facts, trace_id


def configure_logging(
    level: str = "INFO", *, json_lines: bool = True, stream: TextIO | None = None
) -> None:
    """One line per event on `stream` (stderr), Python's own loggers included. Call once, at start.

    Our own lines bypass Python's loggers, which take ten times as long. Logging never raises,
    whatever the stream or the values do.
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
    """The process's standard error; SIGHUP reopens it when it is a file."""
    never_wait()
    stream = LogStream()
    reopen_on_hangup(stream)
    return stream


def _never_raising(level: str) -> type[structlog.typing.FilteringBoundLogger]:
    """`except` clauses log: an error of logging there would end what recovers."""
    filtering: Any = structlog.make_filtering_bound_logger(level)

    class NeverRaising(filtering):  # type: ignore[misc]  # made at run time
        def _proxy_to_logger(
            self, level_name: str, /, event: str | None = None, **values: Any
        ) -> Any:
            try:
                return super()._proxy_to_logger(level_name, event, **values)
            except Exception:  # noqa: BLE001 it cannot be logged
                LINES_LOST.inc()

    return NeverRaising


def _as_json(line: structlog.typing.EventDict, **_: object) -> str:
    return msgspec.json.encode(line, enc_hook=repr).decode()


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """A structured logger; each line has the current trace id and the facts noted."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(name)
    return logger


def _add_request(
    _logger: object, _method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if (here := current_trace()) and "trace_id" not in line:
        line["trace_id"] = trace_id(here)
    return {**noted, **line} if (noted := facts()) else line
