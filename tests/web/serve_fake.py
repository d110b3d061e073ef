"""The storefront and the contract in memory on one port: `python -m tests.web.serve_fake 4000`.

As a plugin (`pytest -p tests.web.serve_fake tests/browser`) it is the `shop` of the browser tests.
"""

import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from flask import Flask
from werkzeug.serving import BaseWSGIServer, make_server

from cinesync.web.app import Settings, create_app
from tests.web import fake_api

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


@dataclass(frozen=True)
class FakeShop:
    url: str


def serve(port: int) -> BaseWSGIServer:
    server = make_server("127.0.0.1", port, lambda _environ, _start: [], threaded=True)
    world = fake_api.a_world()
    world.bank_answers = True
    world.bank_url = f"http://127.0.0.1:{server.port}/api/bank"
    api = fake_api.build(world)
    web = create_app(Settings(f"http://127.0.0.1:{server.port}", "a secret of tests"))
    server.app = _by_path(api, web)
    return server


def _by_path(api: Flask, web: Flask) -> "WSGIApplication":
    """What the gateway does: `/api/…` to the services, all else to the storefront."""

    def choose(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        chosen = api if environ["PATH_INFO"].startswith("/api/") else web
        return chosen.wsgi_app(environ, start)

    return choose


@pytest.fixture(scope="session")
def shop() -> Iterator[FakeShop]:
    server = serve(0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield FakeShop(f"http://127.0.0.1:{server.port}")
    server.shutdown()


if __name__ == "__main__":
    serve(int(sys.argv[1])).serve_forever()
