"""What a process of the bench reports arrives whole."""

import pickle
import subprocess
import sys
import time

BYTES = 2_000_000
# Each signal ends a write to a full pipe with what has fitted in until then.
INTERRUPTED = f"""
import signal
from bench.load.pipe import send_report
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
send_report(bytes({BYTES}))
"""


def test_a_report_is_whole_without_python_s_buffer_and_with_a_slow_reader() -> None:
    command = [sys.executable, "-u", "-c", INTERRUPTED]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        data = process.stdout.read(1)
        time.sleep(0.1)  # the pipe is full, and the writer interrupted
        data += process.stdout.read()
    assert pickle.loads(data) == bytes(BYTES)
