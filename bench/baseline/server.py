"""Runs the baseline in front of the shop's own PostgreSQL and bank."""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bench.load.flows import Endpoint
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.managed_process import ManagedProcess
from cinesync.supervisor.ports import free_port

# A worker for each of two cores; other numbers were not compared.
WORKERS = 2
THREADS = 4
READY_SECONDS_MAX = 60.0
ROOT = Path(__file__).parents[2]


@contextmanager
def running(home: DataFolder, environ: Mapping[str, str], database_url: str) -> Iterator[Endpoint]:
    """Its endpoint, for as long as it is needed; `environ` is the shop's."""
    endpoint = Endpoint("127.0.0.1", free_port(), holds="/holds", payments="/payments")
    own = {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}",
        "BASELINE_DATABASE_URL": database_url,
        "BASELINE_JWKS_URL": f"{environ['AUTH_URL']}/api/auth/.well-known/jwks.json",
        "BASELINE_THREADS": str(THREADS),
    }
    arguments = ["bench.baseline.app:create_app", "--factory", "--interface", "wsgi"]
    arguments += ["--host", endpoint.host, "--port", str(endpoint.port), "--no-ws"]
    arguments += ["--workers", str(WORKERS), "--blocking-threads", str(THREADS)]
    arguments += ["--log-level", "error"]
    child = ManagedProcess("baseline", arguments, {**environ, **own}, home, module="granian")
    child.start()
    try:
        _await_ready(endpoint, child)
        yield endpoint
    finally:
        child.stop()


def _await_ready(endpoint: Endpoint, child: ManagedProcess) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while time.monotonic() < deadline and not child.has_ended():
        try:
            urllib.request.urlopen(f"http://{endpoint.host}:{endpoint.port}/")
        except urllib.error.HTTPError:
            return  # it answers, if only 401
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("the baseline did not start; its log is beside the shop's")
