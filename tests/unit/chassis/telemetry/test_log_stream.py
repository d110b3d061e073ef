"""Logging never raises and never waits, whatever becomes of where it is written to."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from cinesync.chassis import telemetry
from cinesync.chassis.telemetry.log_stream import LINES_LOST, LogStream, never_wait


@pytest.fixture
def unconfigured() -> Iterator[None]:
    """What configuring logging changes is undone after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    raises = logging.raiseExceptions
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raises
    structlog.reset_defaults()


def lost() -> float:
    return float(LINES_LOST._value.get())


def full() -> int:
    """A descriptor whose device never has room (ENOSPC)."""
    return os.open("/dev/full", os.O_WRONLY)


def gone() -> int:
    """A pipe that nobody reads any more (EPIPE)."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def closed() -> int:
    """A descriptor that is none (EBADF)."""
    descriptor = os.open("/dev/null", os.O_WRONLY)
    os.close(descriptor)
    return descriptor


@pytest.mark.parametrize("broken", [full, gone, closed])
@pytest.mark.usefixtures("unconfigured")
def test_logging_to_what_cannot_be_written_raises_nothing_and_is_counted(broken: object) -> None:
    stream = LogStream(broken())  # type: ignore[operator]
    telemetry.configure_logging("INFO", stream=stream)  # type: ignore[arg-type]
    before = lost()
    log = telemetry.get_logger("cinesync.test")
    try:
        raise RuntimeError("the disk is full")  # noqa: TRY301 as in a loop
    except RuntimeError:
        log.exception("it.broke")
    logging.getLogger("somebody.else").warning("plain")
    assert lost() == before + 2


@pytest.mark.usefixtures("unconfigured")
def test_what_cannot_be_written_as_text_raises_nothing(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    telemetry.configure_logging("INFO", stream=LogStream(descriptor))  # type: ignore[arg-type]

    class Unspeakable:
        def __repr__(self) -> str:
            raise ValueError("no words")

    before = lost()
    telemetry.get_logger("cinesync.test").warning("odd", path="\ud800", what=Unspeakable())
    assert lost() == before + 1
    telemetry.get_logger("cinesync.test").warning("even")
    assert json.loads((tmp_path / "log").read_text())["event"] == "even"
    os.close(descriptor)


def test_a_reader_that_hangs_does_not_hold_up_who_logs() -> None:
    reader, writer = os.pipe()
    never_wait(writer)
    stream = LogStream(writer)
    before = lost()
    for _ in range(2_000):
        stream.write("x" * 99 + "\n")  # 200 KB: more than a pipe holds
    assert lost() > before
    os.read(reader, 1 << 20)
    stream.write("and on\n")
    assert os.read(reader, 1 << 20) == b"and on\n"
    os.close(reader)
    os.close(writer)


def test_after_a_torn_line_the_next_one_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    stream, write = LogStream(descriptor), os.write
    monkeypatch.setattr(os, "write", lambda to, data: write(to, data[:5]))
    stream.write('{"event": "torn"}\n')
    monkeypatch.undo()
    stream.write("{}\n")
    assert (tmp_path / "log").read_text().splitlines() == ['{"eve', "{}"]
    os.close(descriptor)


def test_a_hangup_reopens_a_file_that_was_moved_away_and_ends_nobody(tmp_path: Path) -> None:
    program = (
        "import os, signal\n"
        "from cinesync.chassis import telemetry\n"
        "telemetry.configure_logging('INFO')\n"
        "log = telemetry.get_logger('test')\n"
        "log.info('before')\n"
        "os.rename('a.log', 'a.log.1')\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "log.info('after')\n"
        "raise SystemExit('the last words')\n"
    )
    with (tmp_path / "a.log").open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, stderr=log, stdout=log, check=False
        )
    assert done.returncode == 1
    assert "before" in (tmp_path / "a.log.1").read_text()
    fresh = (tmp_path / "a.log").read_text()
    assert "after" in fresh
    assert "the last words" in fresh
    assert (tmp_path / "a.log").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("unconfigured")
def test_a_stream_that_is_no_file_has_nothing_to_reopen() -> None:
    reader, writer = os.pipe()
    LogStream(writer).reopen()
    os.close(reader)
    os.write(1, b"")
    os.close(writer)
