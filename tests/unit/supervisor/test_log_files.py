"""What processes write is kept as JSON lines, rotated while they run, and never stops them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cinesync.chassis.settings import SettingsError
from cinesync.chassis.telemetry.log_retention import LogRetention
from cinesync.supervisor.log_files import LogFile, ProcessOutput, json_line, last_output

KEEP = LogRetention(log_bytes_max=1_000, log_hours_max=24.0, log_files_max=3)


@pytest.fixture
def log(tmp_path: Path) -> LogFile:
    return LogFile(tmp_path / "a.log", KEEP)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def numbered(number: int) -> bytes:
    return b'{"n": %d, "pad": "%s"}\n' % (number, b"x" * 80)


def run(log: LogFile, program: str) -> list[str]:
    """A process whose output is kept; what it said that is no JSON."""
    heard: list[str] = []

    def hear(line: str) -> bool:
        heard.append(line)
        return line == "cinesync-ready"

    output = ProcessOutput("child", log, hear)
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=output.writer, stderr=output.writer
    )
    output.begin()
    child.wait(60)
    output.finish(60)
    return heard


def test_a_log_rotates_by_size_and_the_oldest_is_deleted(log: LogFile) -> None:
    for number in range(60):
        log.write(numbered(number))
    names = sorted(path.name for path in log.path.parent.iterdir())
    assert names == ["a.log", "a.log.1", "a.log.2", "a.log.3"]
    kept = [lines(log.path.with_name(name)) for name in reversed(names)]
    numbers = [line["n"] for part in kept for line in part]
    assert numbers == list(range(numbers[0], 60))
    assert all(path.stat().st_size <= 1_000 for path in log.path.parent.iterdir())
    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_log_is_rotated_by_age_also_one_of_an_earlier_start(log: LogFile) -> None:
    log.path.write_text('{"event": "old", "timestamp": "2020-01-01T00:00:00Z"}\n')
    log.write(json_line("new", "info"))
    assert [line["event"] for line in lines(log.path)] == ["new"]
    assert [line["event"] for line in lines(log.path.with_name("a.log.1"))] == ["old"]


def test_a_line_without_a_time_is_as_old_as_its_file(log: LogFile) -> None:
    log.path.write_text("no json\n")
    os.utime(log.path, (time.time() - 90_000,) * 2)
    log.write(json_line("new", "info"))
    assert log.path.with_name("a.log.1").read_text() == "no json\n"


def test_a_moved_log_is_reopened(log: LogFile) -> None:
    log.write(b'{"n": 1}\n')
    log.path.rename(log.path.with_name("mine"))
    log.write(b'{"n": 2}\n')
    log.reopen()
    log.write(b'{"n": 3}\n')
    assert [line["n"] for line in lines(log.path.with_name("mine"))] == [1, 2]
    assert [line["n"] for line in lines(log.path)] == [3]


def test_a_log_that_cannot_be_written_loses_lines_and_raises_nothing(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "no such folder" / "a.log", KEEP)
    log.write(b"{}\n{}\n")
    assert log.lines_lost == 2
    log.path.parent.mkdir()
    log.write(b"{}\n")
    assert lines(log.path) == [{}]
    log.close()


def test_after_a_partial_line_the_next_starts_a_new_line(
    log: LogFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda to, data: write(to, data[:4]))
    log.write(b'{"n": 1}\n')
    monkeypatch.undo()
    log.write(b'{"n": 2}\n')
    assert log.path.read_text() == '{"n"\n{"n": 2}\n'
    assert log.lines_lost == 1


def test_all_output_of_a_process_is_logged_as_json(log: LogFile) -> None:
    heard = run(
        log,
        "import sys\n"
        "print('before logging', file=sys.stderr, flush=True)\n"
        'print(\'{"event": "ours"}\', flush=True)\n'
        "print('cinesync-ready', flush=True)\n"
        "print('half a line', end='', flush=True)\n"
        "1 / 0\n",
    )
    told = lines(log.path)
    assert told[0]["text"] == "before logging"
    assert told[0]["process"] == "child"
    assert {"event": "ours"} in told
    assert told[-1]["text"].endswith("ZeroDivisionError: division by zero")
    assert told[-1]["level"] == "error"
    assert "cinesync-ready" in heard
    assert "cinesync-ready" not in log.path.read_text()
    assert last_output(log.path) == "ZeroDivisionError: division by zero"


def test_a_servers_severity_is_the_level(log: LogFile) -> None:
    run(log, "print('2026-12-01 05:30:35.332 GMT [1] FATAL:  no space')")
    assert lines(log.path)[-1]["level"] == "critical"


def test_a_process_whose_log_is_on_a_full_disk_runs_to_its_end(tmp_path: Path) -> None:
    log = LogFile(Path("/dev/full"), KEEP)
    heard = run(
        log,
        'for n in range(20000): print(\'{"n": %d, "pad": "%s"}\' % (n, \'x\' * 100))\n'
        "print('the end')",
    )
    assert heard == ["the end"]
    assert log.lines_lost >= 20_000


def test_an_endless_line_is_logged_in_parts(log: LogFile) -> None:
    run(LogFile(log.path, LogRetention()), "print('x' * 300_000)")
    assert sum(line["text"].count("x") for line in lines(log.path)) == 300_000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it ended without output"),
        ("plain\n", "plain"),
        ('{"event": "output", "text": "a\\nb"}\n', "b"),
        ('{"event": "it.broke", "exception": "Traceback\\nValueError: x"}\n', "ValueError: x"),
        ("[1]\n", "[1]"),
    ],
)
def test_last_output(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "log").write_text(text)
    assert last_output(tmp_path / "log") == words
    assert last_output(tmp_path / "none") == "it ended without output"


def test_a_retention_without_files_is_refused() -> None:
    with pytest.raises(SettingsError, match="positive"):
        LogRetention(log_files_max=0)
