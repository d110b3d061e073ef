"""The storefront and the contract in memory: `python -m tests.support.fake_apis.serve 4000`.

For looking at pages without a database.
"""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask
from werkzeug.serving import BaseWSGIServer, make_server

from cinesync.web.app import Settings, create
from tests.support.fake_apis import api as fake_api
from tests.support.fake_apis import ledger as fake_ledger
from tests.support.fake_apis import state
from tests.support.fake_apis.ledger import FakeLedger

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def serve(port: int, ledger: FakeLedger | None = None) -> BaseWSGIServer:
    server = make_server("127.0.0.1", port, lambda _environ, _start: [], threaded=True)
    apis = state.create_apis()
    apis.bank_answers = True
    apis.bank_url = f"http://127.0.0.1:{server.port}/api/bank"
    api = fake_api.build(apis, ledger or fake_ledger.create_ledger())
    web = create(Settings(f"http://127.0.0.1:{server.port}", "a secret of tests"))
    server.app = _by_path(api, web)
    return server


def _by_path(api: Flask, web: Flask) -> "WSGIApplication":
    """What the gateway does: `/api/…` to the services, all else to the storefront."""

    def choose(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        chosen = api if environ["PATH_INFO"].startswith("/api/") else web
        return chosen.wsgi_app(environ, start)

    return choose


if __name__ == "__main__":
    serve(int(sys.argv[1])).serve_forever()
