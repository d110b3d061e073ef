"""The storefront and the contract in memory on one port: `python -m tests.web.serve_fake 4000`.

As a plugin (`pytest -p tests.web.serve_fake tests/browser`) it is the `shop` of the browser tests.
"""

import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from werkzeug.serving import BaseWSGIServer, make_server

from cinesync.web.app import Settings, create_app
from tests.web import fake_api


@dataclass(frozen=True)
class FakeShop:
    url: str


def serve(port: int) -> BaseWSGIServer:
    server = make_server("127.0.0.1", port, lambda _environ, _start: [], threaded=True)
    api = fake_api.build(fake_api.a_world())
    web = create_app(Settings(f"http://127.0.0.1:{server.port}", "a secret of tests"))
    server.app = _by_path(api.wsgi_app, web.wsgi_app)
    return server


def _by_path(api, web):  # type: ignore[no-untyped-def]
    """Like the gateway, and unlike DispatcherMiddleware, it leaves the path as it is."""
    return lambda environ, start: (api if environ["PATH_INFO"].startswith("/api/") else web)(
        environ, start
    )


@pytest.fixture(scope="session")
def shop() -> Iterator[FakeShop]:
    server = serve(0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield FakeShop(f"http://127.0.0.1:{server.port}")
    server.shutdown()


if __name__ == "__main__":
    serve(int(sys.argv[1])).serve_forever()
