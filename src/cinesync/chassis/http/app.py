"""The HTTP API of a service: its routes, with what all services share around them."""

import inspect
from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Request, Response, get
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.types import ControllerRouterHandler

from cinesync.chassis.http import strict_bodies
from cinesync.chassis.http.asgi import BODY_BYTES_MAX, JSON_TYPE
from cinesync.chassis.http.docs_assets import docs_assets
from cinesync.chassis.http.openapi import OPENAPI_TYPE, describe_handlers, openapi_config
from cinesync.chassis.http.problem_responses import (
    EXCEPTION_HANDLERS,
    UnsupportedBody,
    problem_response,
)
from cinesync.chassis.http.security.access_tokens import Verifier
from cinesync.chassis.http.security.authentication import optional_caller, signed_in
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.problems import Invalid

NOT_QUERY = frozenset({"db", "request", "caller", "data"})  # what a handler takes beside its query


def refuse_unknown_query(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """A guard: raises Invalid for a query parameter that the handler does not take.

    A misspelt filter would otherwise return the unfiltered list.
    """
    takes = inspect.signature(handler.fn).parameters.keys() - NOT_QUERY
    takes -= connection.path_params.keys()
    unknown = sorted(set(connection.query_params) - takes)
    if unknown:
        allowed = ", ".join(sorted(takes)) or "none"
        raise Invalid(
            f"There is no query parameter {', '.join(unknown)} here; there is: {allowed}.",
            field=unknown[0],
        )


def service_app(
    name: str,
    routes: Sequence[ControllerRouterHandler],
    verifier: Verifier,
    *,
    addresses: ClientAddresses | None = None,
    body_bytes_max: int = BODY_BYTES_MAX,
) -> Litestar:
    """A service's API; its documentation is at /api/<name>/docs.

    Handlers may take `caller`, who must be signed in, and `visitor`, who may be.
    """

    @get(f"/api/{name}/openapi.json", media_type=OPENAPI_TYPE, include_in_schema=False)
    async def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
        return request.app.openapi_schema.to_schema()

    assets = f"/api/{name}/docs-assets"
    app = Litestar(
        route_handlers=[*routes, openapi, docs_assets(assets)],
        before_request=_check_body,
        dependencies={"caller": Provide(signed_in), "visitor": Provide(optional_caller)},
        exception_handlers=EXCEPTION_HANDLERS,
        state=State({"verifier": verifier, "addresses": addresses or ClientAddresses()}),
        request_max_body_size=body_bytes_max,
        openapi_config=openapi_config(name, assets),
        logging_config=None,
    )
    describe_handlers(app)
    strict_bodies.check(app)
    return app


async def _check_body(request: Request[Any, Any, Any]) -> Response[bytes] | None:
    """A body is JSON: a foreign page can send other types without a preflight request (CORS).

    A handler that takes no body refuses one with members.
    """
    stated = request.headers.get("content-type", JSON_TYPE).partition(";")[0].strip().lower()
    if stated == JSON_TYPE or request.headers.get("content-length", "0") == "0":
        await strict_bodies.refuse_needless(request)
        return None
    return problem_response(UnsupportedBody(f"Send {JSON_TYPE}, not {stated}."))
