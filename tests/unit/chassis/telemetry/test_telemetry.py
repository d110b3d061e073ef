"""One trace follows a purchase, in logs and over the wire."""

import contextvars
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from cinesync.chassis import telemetry

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """Logging as a process has it, undone after the test; and what it wrote."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()  # configuring would close those of pytest
    stream = io.StringIO()
    telemetry.configure_logging("INFO", stream=stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_a_trace_is_continued_and_left_again() -> None:
    with telemetry.Tracing(PARENT):
        assert telemetry.current_trace() == PARENT
    assert telemetry.current_trace() == ""


@pytest.mark.parametrize("header", ["", "garbage", "00-" + "0" * 32 + "-b7ad6b7169203331-01"])
def test_without_a_valid_trace_a_new_one_begins(header: str) -> None:
    with telemetry.Tracing(header):
        first = telemetry.trace_id(telemetry.current_trace())
    with telemetry.Tracing(header):
        second = telemetry.trace_id(telemetry.current_trace())
    assert first != second
    assert len(first) == len(second) == 32


def test_a_trace_id_of_nothing_is_empty() -> None:
    assert telemetry.trace_id("") == ""


def test_every_line_is_json_with_the_trace(written: io.StringIO) -> None:
    with telemetry.Tracing(PARENT):
        telemetry.get_logger("cinesync.test").info("seat.held", seat="F7")
        logging.getLogger("somebody.else").warning("plain %s", "text")
    ours, theirs = [json.loads(line) for line in written.getvalue().splitlines()]
    assert ours["event"] == "seat.held"
    assert ours["seat"] == "F7"
    assert theirs["event"] == "plain text"
    assert ours["trace_id"] == theirs["trace_id"] == TRACE


def test_an_error_line_holds_the_traceback_but_no_local_variables(written: io.StringIO) -> None:
    password = "popcorn" + "-and-a-movie"
    try:
        int(f"{len(password)} seats")
    except ValueError:
        telemetry.get_logger("cinesync.test").exception("it.broke")
    line = written.getvalue()
    assert "'19 seats'" in json.loads(line)["exception"]
    assert password not in line


def test_chatty_libraries_are_quiet(written: io.StringIO) -> None:
    logging.getLogger("httpx").info("GET everything")
    assert written.getvalue() == ""


def test_what_a_request_is_about_is_in_every_line_of_it_and_of_no_other(
    written: io.StringIO,
) -> None:
    log = telemetry.get_logger("cinesync.test")
    telemetry.note(booking_id="of nobody")
    with telemetry.Tracing(""):
        telemetry.note(actor="ada", booking_id="b1")
        contextvars.copy_context().run(telemetry.note, payment_id="p1")  # as in a task of its own
        log.info("http.answered")
        logging.getLogger("somebody.else").warning("plain")
        log.info("payment.unanswered", payment_id="p2")
    with telemetry.Tracing(""):
        log.info("another")
    first, theirs, own, other = [json.loads(line) for line in written.getvalue().splitlines()]
    facts = {"actor": "ada", "booking_id": "b1", "payment_id": "p1"}
    assert facts.items() <= first.items()
    assert facts.items() <= theirs.items()
    assert own["payment_id"] == "p2"
    assert not facts.keys() & other.keys()
