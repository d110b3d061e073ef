"""The supervisor's own metrics for Prometheus: processes and restarts. Loopback only."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOOPBACK = "127.0.0.1"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
HELP = {
    "cinesync_process_up": ("gauge", "1 while the process runs."),
    "cinesync_process_restarts_total": ("counter", "Times that it ended and was started again."),
    "cinesync_process_log_lines_lost_total": (
        "counter",
        "Lines of its output that could not be written.",
    ),
}


class PortTaken(Exception):
    """Another process listens on this port."""


@dataclass(frozen=True, slots=True)
class ProcessMetrics:
    """The metrics of one process."""

    name: str
    is_up: bool
    restarts: int
    lines_lost: int


def exposition(processes: Iterable[ProcessMetrics]) -> str:
    """The text format of Prometheus."""
    found = list(processes)
    lines: list[str] = []
    for metric, (kind, what) in HELP.items():
        lines += [f"# HELP {metric} {what}", f"# TYPE {metric} {kind}"]
        for one in found:
            values = (int(one.is_up), one.restarts, one.lines_lost)
            value = dict(zip(HELP, values, strict=True))[metric]
            lines.append(f'{metric}{{process="{one.name}"}} {value}')
    return "\n".join(lines) + "\n"


@contextmanager
def serving(port: int, collect: Callable[[], Iterable[ProcessMetrics]]) -> Iterator[str]:
    """Serve meanwhile; the URL. Raises PortTaken."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            """`/metrics`, and nothing else."""
            body = exposition(collect()).encode() if self.path == "/metrics" else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Scrapes are not logged."""

    try:
        server = ThreadingHTTPServer((LOOPBACK, port), Handler)
    except OSError as error:
        raise PortTaken(error.strerror) from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_address[1]}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
