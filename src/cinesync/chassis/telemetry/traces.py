"""The trace of a purchase through HTTP, events and batches, and the spans in it.

Theory of operation
-------------------
The current trace is a text in a context variable: the `traceparent` of W3C Trace Context. A request
continues the trace of its client, or starts one. Calls to other services send it, events store it,
and log lines have its id. A text, because OpenTelemetry's own context costs a request 20 µs.

Without more, there are no spans: everything that a request does has the span id that came with it.
When OTEL_EXPORTER_OTLP_ENDPOINT is set, `span_export` sets `recorder`, and these become spans of
their own, whose traceparent is the current one inside:

- a request to a service or a page (server),
- a call to another service or provider (client),
- a batch of commands (internal) or of events (consumer). A batch serves many requests, so its span
  has a link to each of them; if all belong to one trace, it continues that trace.

The SDK is imported only then: it takes 90 ms and 5 MB. Without it a request costs nothing more, a
batch 180 ns and a call 50.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Any, Literal, Protocol

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from cinesync.chassis import clock

Kind = Literal["server", "client", "internal", "consumer"]

_propagator = TraceContextTextMapPropagator()
_traceparent: ContextVar[str] = ContextVar("traceparent", default="")
# Of one request: its tasks share the dict, so that what one of them notes is in the lines of all.
_facts: ContextVar[dict[str, Any] | None] = ContextVar("facts", default=None)


class Span(Protocol):
    """A span that is recorded."""

    traceparent: str

    def describe(self, name: str, attributes: Mapping[str, str | int]) -> None:
        """Set its name, and add attributes."""

    def end(self, error: BaseException | None) -> None:
        """End it, as failed when there is an error."""


class Recorder(Protocol):
    """Starts spans; `parent` and `links` are traceparents, and `parent` may be empty."""

    def start(self, name: str, kind: Kind, parent: str, links: Sequence[str]) -> Span: ...


class Tracing:
    """Continues `traceparent`; an empty or invalid one starts a new trace.

    With a `name`, the block is a span, if spans are recorded.
    """

    recorder: Recorder | None = None  # of the process

    def __init__(
        self,
        traceparent: str = "",
        name: str = "",
        kind: Kind = "internal",
        links: Sequence[str] = (),
    ) -> None:
        valid = (traceparent and _valid(traceparent)) or ""
        self.span: Span | None = None
        if name and Tracing.recorder is not None:
            self.span = Tracing.recorder.start(name, kind, valid, links)
            self._traceparent = self.span.traceparent
        else:
            self._traceparent = valid or _new()

    def __enter__(self) -> Span | None:
        self._token = _traceparent.set(self._traceparent)
        self._noted = _facts.set({})
        return self.span

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        _traceparent.reset(self._token)
        _facts.reset(self._noted)
        if self.span is not None:
            self.span.end(error)


_NO_SPAN: AbstractContextManager[Span | None] = nullcontext()


def batch_span(
    name: str, traceparents: Iterable[str], kind: Kind = "internal"
) -> AbstractContextManager[Span | None]:
    """A span around work for several traces, with a link to each; nothing unless recorded."""
    if Tracing.recorder is None:
        return _NO_SPAN
    links = [one for one in dict.fromkeys(traceparents) if one]
    is_one_trace = len({trace_id(one) for one in links}) == 1
    return Tracing(links[0] if is_one_trace else "", name, kind, links)


def client_span(name: str) -> AbstractContextManager[Span | None]:
    """A span around a call to another process; nothing unless recorded.

    Background loops poll: their calls belong to no trace, and are no spans.
    """
    if Tracing.recorder is None or not (here := current_trace()):
        return _NO_SPAN
    return Tracing(here, name, "client")


def current_trace() -> str:
    """The `traceparent` of the running code, or an empty text."""
    return _traceparent.get()


def trace_id(traceparent: str) -> str:
    """The 32 hex digits of a `traceparent`, or an empty text."""
    return traceparent[3:35]


def note(**noted: Any) -> None:
    """Add facts such as `actor` or `booking_id` to every later log line of this request."""
    known = _facts.get()
    if known is not None:
        known.update(noted)


def facts() -> Mapping[str, Any] | None:
    """The facts noted for this request."""
    return _facts.get()


def _valid(traceparent: str) -> str:
    """In our own form, or an empty text."""
    carrier: dict[str, str] = {}
    span = trace.get_current_span(_propagator.extract({"traceparent": traceparent}))
    _propagator.inject(carrier, trace.set_span_in_context(span))
    return carrier.get("traceparent", "")


def _new() -> str:
    # All zeros are invalid (W3C Trace Context section 3.2.2.3).
    return f"00-{clock.trace_bits(128) or 1:032x}-{clock.trace_bits(64) or 1:016x}-01"
