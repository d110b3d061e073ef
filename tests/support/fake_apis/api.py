"""All fake APIs as one application: the pages are developed and tested against it."""

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import HTTPException

from tests.support.fake_apis import auth, booking, movies, payment
from tests.support.fake_apis import ledger as fake_ledger
from tests.support.fake_apis.state import FakeApis, Refused


def build(apis: FakeApis, ledger: fake_ledger.FakeLedger | None = None) -> Flask:
    """The APIs as one WSGI application; without a ledger when there is none."""
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]

    @app.before_request
    def record() -> Response | None:
        apis.requests.append(
            {
                "method": request.method,
                "path": request.path,
                "headers": dict(request.headers),
                "args": request.args.to_dict(),
                "json": request.get_json(silent=True),
            }
        )
        if any(request.path.startswith(path) for path in apis.garbled):
            return Response("<html>gateway</html>", 200, mimetype="text/html")
        for path, refused in apis.faults.items():
            called = f"{request.method} {request.path}" if " " in path else request.path
            if called.startswith(path):
                raise refused
        return None

    _responses(app, apis)
    for service in (auth, movies, booking, payment):
        service.install(app, apis)
    if ledger is not None:
        fake_ledger.install(app, ledger)
    return app


def _responses(app: Flask, apis: FakeApis) -> None:
    @app.after_request
    def add_headers(response: Response) -> Response:
        response.headers.extend(apis.headers)
        return response

    @app.errorhandler(Refused)
    def refuse(refused: Refused) -> tuple[Response, int]:
        return jsonify(refused.body), refused.status

    @app.errorhandler(HTTPException)
    def unknown(error: HTTPException) -> tuple[str, int]:
        return "plain text, not JSON", error.code or 500
