"""Spans of requests, calls and batches, when they are recorded."""

from collections.abc import Iterator, Mapping, Sequence

import pytest

from cinesync.chassis.telemetry.traces import (
    Kind,
    Tracing,
    batch_span,
    client_span,
    current_trace,
    trace_id,
)

ONE = "00-" + "1" * 32 + "-" + "1" * 16 + "-01"
ONE_LATER = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
OTHER = "00-" + "3" * 32 + "-" + "3" * 16 + "-01"
OWN = "00-" + "9" * 32 + "-" + "9" * 16 + "-01"


class RecordedSpan:
    """A span, and how it ended."""

    traceparent = OWN

    def __init__(self, name: str, kind: Kind, parent: str, links: Sequence[str]) -> None:
        self.started = (name, kind, parent, list(links))
        self.errors: list[BaseException | None] = []

    def describe(self, name: str, attributes: Mapping[str, str | int]) -> None:
        """Not of interest here."""

    def end(self, error: BaseException | None) -> None:
        """Remembers it."""
        self.errors.append(error)


class ListRecorder:
    """Spans in the order of their start."""

    def __init__(self) -> None:
        self.spans: list[RecordedSpan] = []

    def start(self, name: str, kind: Kind, parent: str, links: Sequence[str]) -> RecordedSpan:
        self.spans.append(RecordedSpan(name, kind, parent, links))
        return self.spans[-1]


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[ListRecorder]:
    recorder = ListRecorder()
    monkeypatch.setattr(Tracing, "recorder", recorder)
    yield recorder
    assert all(len(span.errors) == 1 for span in recorder.spans), "each ended once"


def test_a_request_is_a_child_of_its_client(recorder: ListRecorder) -> None:
    with Tracing(ONE, "GET", "server"):
        assert current_trace() == OWN
    with Tracing("no trace", "GET", "server"):
        pass
    started = [span.started for span in recorder.spans]
    assert started == [("GET", "server", ONE, []), ("GET", "server", "", [])]


def test_a_block_without_a_name_is_no_span(recorder: ListRecorder) -> None:
    with Tracing(ONE):
        assert current_trace() == ONE
    assert recorder.spans == []


def test_a_call_is_a_child_of_its_request(recorder: ListRecorder) -> None:
    with Tracing(ONE), client_span("POST /charges"):
        assert current_trace() == OWN
    assert recorder.spans[0].started == ("POST /charges", "client", ONE, [])


def test_a_call_of_a_background_loop_is_no_span(recorder: ListRecorder) -> None:
    with client_span("GET /health/live"):
        assert current_trace() == ""
    assert recorder.spans == []


@pytest.mark.parametrize(
    ("traces", "parent", "links"),
    [
        ([ONE, ONE_LATER, ONE, ""], ONE, [ONE, ONE_LATER]),
        ([ONE, OTHER], "", [ONE, OTHER]),
        (["", ""], "", []),
    ],
    ids=["one trace", "two traces", "no trace"],
)
def test_a_batch_links_to_all_that_it_serves(
    recorder: ListRecorder, traces: list[str], parent: str, links: list[str]
) -> None:
    with batch_span("batch", traces, "consumer"):
        assert current_trace() == OWN
    assert recorder.spans[0].started == ("batch", "consumer", parent, links)


def test_an_error_ends_a_span_as_failed(recorder: ListRecorder) -> None:
    error = ValueError("no seat")
    with pytest.raises(ValueError, match="no seat"), Tracing("", "GET", "server"):
        raise error
    assert recorder.spans[0].errors == [error]


def test_where_none_are_recorded_batches_have_no_trace_and_calls_that_of_their_request() -> None:
    with batch_span("batch", [ONE]):
        assert current_trace() == ""
    with Tracing(ONE), client_span("GET /"):
        assert trace_id(current_trace()) == trace_id(ONE)
