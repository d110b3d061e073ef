"""A purchase as a collector sees it: spans of requests, calls, batches and events, linked."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.support.eventually import wait_for
from tests.support.shop import RunningShop

pytestmark = [pytest.mark.slow, pytest.mark.no_cover]


class Collector(ThreadingHTTPServer):
    """Receives OTLP over HTTP."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.paths: set[str] = set()
        self.resources: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), CollectorHandler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def receive(self, path: str, body: bytes) -> None:
        self.paths.add(path)
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            attributes = group.resource.attributes
            self.resources.append({one.key: one.value.string_value for one in attributes})
            for scope in group.scope_spans:
                self.spans += scope.spans

    def find(self, name: str) -> Span | None:
        return next((span for span in self.spans if span.name == name), None)

    def linked_to(self, target: Span, name: str) -> Span | None:
        """A span of that name with a link to `target`."""
        links = {
            id(span): {(link.trace_id, link.span_id) for link in span.links} for span in self.spans
        }
        return next(
            (
                span
                for span in self.spans
                if span.name == name and (target.trace_id, target.span_id) in links[id(span)]
            ),
            None,
        )


class CollectorHandler(BaseHTTPRequestHandler):
    """One export."""

    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.receive(self.path, body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the library's signature
        """Nothing to standard error."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever, daemon=True)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


@pytest.fixture
def shop(collector: Collector, filled: Path) -> Iterator[RunningShop]:
    shop = RunningShop(
        filled, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="100"
    ).start()
    yield shop
    shop.stop()


def test_the_spans_of_a_purchase_are_linked_through_http_bus_and_batch(
    shop: RunningShop, collector: Collector
) -> None:
    client = shop.client().sign_in_as_guest()
    hold = client.hold_best(client.a_show()["show_id"], 2)
    assert client.pay(hold["hold_id"]).status_code == 201
    client.confirmed(hold["hold_id"])

    paid = wait_for(lambda: collector.find("POST /api/payment/payments"), "the request's span")
    attributes = {one.key: one.value for one in paid.attributes}
    assert paid.kind == Span.SPAN_KIND_SERVER
    assert attributes["http.response.status_code"].int_value == 201
    assert attributes["cinesync.service"].string_value == "payment"

    charge = wait_for(lambda: collector.find("POST /charges"), "the call to the bank")
    assert charge.kind == Span.SPAN_KIND_CLIENT
    assert (charge.trace_id, charge.parent_span_id) == (paid.trace_id, paid.span_id)

    batches = [span.name for span in collector.spans if span.name.startswith("batch ")]
    assert batches
    batch = wait_for(
        lambda: next(filter(None, (collector.linked_to(paid, name) for name in batches)), None),
        "the batch with the payment in it",
    )
    assert batch.kind == Span.SPAN_KIND_INTERNAL

    for queue in ("booking.payment.success", "ledger.payment.success"):
        name = f"process {queue}"
        handled = wait_for(partial(collector.linked_to, paid, name), name)
        assert handled.kind == Span.SPAN_KIND_CONSUMER
        assert handled.trace_id == paid.trace_id

    assert collector.paths == {"/v1/traces"}
    assert {one["service.name"] for one in collector.resources} == {"cinesync"}
    assert not any("/health" in span.name for span in collector.spans)
