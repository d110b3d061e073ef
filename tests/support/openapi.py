"""The OpenAPI documents of the real services, and a transport that holds every call to them."""

import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs

from cinesync.chassis.http.app import service_app
from cinesync.chassis.http.security.access_tokens import Verifier
from cinesync.chassis.settings import load
from cinesync.validator import provisioning

SERVICES = ("auth", "movies", "booking", "payment", "ledger")
PROBLEM_MEMBERS = {"type", "title", "status"}

Json = dict[str, Any]


class ContractBroken(AssertionError):
    """A call that the services' documents do not describe."""


def documents(folder: Path) -> dict[str, Json]:
    """By service; made of its routes, without a database. `folder` takes the ledger's keys."""
    provisioning.init(folder, ["127.0.0.1:1"] * 4)
    environ = {
        "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "SECRET_KEY": "a secret of tests, long enough for all",
        "LEDGER_HOME": str(provisioning.client_home(folder)),
        **dict.fromkeys(("AUTH_URL", "BOOKING_URL", "PUBLIC_URL"), "http://127.0.0.1:1"),
    }
    return {name: _document(name, environ) for name in SERVICES}


def _document(name: str, environ: Mapping[str, str]) -> Json:
    async def fetch() -> Json:
        return {"keys": []}

    app = import_module(f"cinesync.{name}.app")
    service = app.create(load(app.Settings, environ))
    schema = service_app(name, service.routes, Verifier(fetch)).openapi_schema.to_schema()
    # Litestar adds an alternative without conditions to items that msgspec constrains.
    document: Json = _without_empty_alternatives(json.loads(json.dumps(schema, default=str)))
    for one in document["components"]["schemas"].values():
        if "properties" in one:
            # A fake must not answer with members that the service does not have.
            one.setdefault("additionalProperties", False)
    return document


def _without_empty_alternatives(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_empty_alternatives(item) for item in node]
    if isinstance(node, dict):
        if {} in node.get("oneOf", []):
            node = node | {"oneOf": [one for one in node["oneOf"] if one]}
        return {name: _without_empty_alternatives(value) for name, value in node.items()}
    return node


class Contract:
    """Finds the operation of a call and checks the call against it."""

    def __init__(self, by_service: Mapping[str, Json]) -> None:
        self._documents = dict(by_service)

    def operation(self, method: str, path: str) -> tuple[Json, Json]:
        """The operation and its document. Raises ContractBroken."""
        for document in self._documents.values():
            for template, operations in document["paths"].items():
                pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
                if re.fullmatch(pattern, path) and method.lower() in operations:
                    found: Json = operations[method.lower()]
                    return found, document
        raise ContractBroken(f"no service has {method} {path}")

    def check_request(self, request: httpx.Request) -> None:
        operation, document = self.operation(request.method, request.url.path)
        takes = {one["name"] for one in operation.get("parameters", []) if one["in"] == "query"}
        if unknown := set(request.url.params) - takes:
            raise ContractBroken(f"{request.url.path}: unknown query parameters {unknown}")
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body and request.content:
            where = f"{request.method} {request.url.path}, request"
            _validate(json.loads(request.content), body["schema"], document, where)

    def check_response(self, request: httpx.Request, response: httpx.Response) -> None:
        operation, document = self.operation(request.method, request.url.path)
        where = f"{request.method} {request.url.path}, {response.status_code}"
        if response.is_error:
            if not response.json().keys() >= PROBLEM_MEMBERS:
                raise ContractBroken(f"{where}: not a problem")
            return
        documented = operation["responses"].get(str(response.status_code))
        if documented is None:
            raise ContractBroken(f"{where}: not a documented status")
        schema = documented.get("content", {}).get("application/json", {}).get("schema")
        if "content-disposition" in response.headers:
            return  # a file; its own tests check it
        if schema and response.content:
            _validate(response.json(), schema, document, where)
        elif response.content or (schema and response.status_code == httpx.codes.OK):
            raise ContractBroken(f"{where}: a body that is not documented, or none")


def _validate(value: Any, schema: Json, document: Json, where: str) -> None:
    whole = schema | {"components": document["components"]}
    errors = list(_errors(whole, value))
    if errors:
        raise ContractBroken(f"{where}: " + "; ".join(errors))


def _errors(schema: Json, value: Any) -> Iterator[str]:
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    for error in validator.iter_errors(value):
        yield f"{'/'.join(map(str, error.instance_path))}: {error.message[:300]}"


class CheckedTransport(httpx.BaseTransport):
    """Passes calls on to another transport; raises ContractBroken. `called` are its operations."""

    def __init__(self, inner: httpx.BaseTransport, contract: Contract) -> None:
        self._inner = inner
        self._contract = contract
        self.called: set[str] = set()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self._contract.check_request(request)
        response = self._inner.handle_request(request)
        response.read()
        self._contract.check_response(request, response)
        operation, _ = self._contract.operation(request.method, request.url.path)
        self.called.add(operation["operationId"])
        return response
