"""Spans to an OpenTelemetry collector, over OTLP and HTTP.

Imported only when OTEL_EXPORTER_OTLP_ENDPOINT is set. A thread of the SDK sends finished spans in
batches; a collector that is away costs the spans of that time and no request anything. The SDK
reads its further variables (OTEL_SERVICE_NAME, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER)
itself.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from cinesync.chassis.telemetry.traces import Kind, Tracing

TRACES_PATH: Final = "/v1/traces"
FLUSH_MILLISECONDS_MAX: Final = 2_000
KINDS: Final[Mapping[Kind, SpanKind]] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "internal": SpanKind.INTERNAL,
    "consumer": SpanKind.CONSUMER,
}


class ExportedSpan:
    """A span of the SDK."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
        )

    def describe(self, name: str, attributes: Mapping[str, str | int]) -> None:
        """Set its name, and add attributes."""
        self._span.update_name(name)
        self._span.set_attributes(attributes)

    def end(self, error: BaseException | None) -> None:
        """End it, as failed when there is an error."""
        if error is not None:
            self._span.set_status(StatusCode.ERROR, type(error).__name__)
        self._span.end()


class SpanExporter:
    """Records the spans of one process, and sends them to `endpoint`."""

    def __init__(self, endpoint: str, instance: str) -> None:
        named = Resource({"service.name": "cinesync", "service.instance.id": instance})
        self._provider = TracerProvider(
            resource=named.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + TRACES_PATH)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("cinesync")

    def start(self, name: str, kind: Kind, parent: str, links: Sequence[str]) -> ExportedSpan:
        """A span that has begun."""
        span = self._tracer.start_span(
            name,
            context=trace.set_span_in_context(NonRecordingSpan(_context_of(parent))),
            kind=KINDS[kind],
            links=[trace.Link(_context_of(link)) for link in links],
        )
        return ExportedSpan(span)

    def close(self) -> None:
        """Send what is left, and record no more. Blocks for some seconds at most."""
        if Tracing.recorder is self:
            Tracing.recorder = None
        self._provider.force_flush(FLUSH_MILLISECONDS_MAX)
        self._provider.shutdown()


def start(endpoint: str, instance: str) -> SpanExporter:
    """Record the spans of this process, `instance`, from now on."""
    Tracing.recorder = exporter = SpanExporter(endpoint, instance)
    return exporter


def _context_of(traceparent: str) -> SpanContext:
    """The span that a traceparent names; an invalid one for an empty text."""
    if not traceparent:
        return trace.INVALID_SPAN_CONTEXT
    _version, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(
        int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
    )
