"""The OpenAPI document of a service: who must sign in, and that every error is a problem."""

import inspect
from dataclasses import dataclass

from litestar import Litestar
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import SwaggerRenderPlugin
from litestar.openapi.spec import (
    Components,
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Reference,
    Schema,
    SecurityScheme,
)
from litestar.routes import HTTPRoute

from cinesync.chassis.http.asgi import PROBLEM_TYPE

OPENAPI_TYPE = "application/vnd.oai.openapi+json"

PROBLEM_RESPONSE = OpenAPIResponse(
    description="What went wrong, as problem details (RFC 9457).",
    content={
        PROBLEM_TYPE: OpenAPIMediaType(
            schema=Schema(
                type=OpenAPIType.OBJECT,
                required=["type", "title", "status"],
                properties={
                    "type": Schema(type=OpenAPIType.STRING),
                    "title": Schema(type=OpenAPIType.STRING),
                    "status": Schema(type=OpenAPIType.INTEGER),
                    "detail": Schema(type=OpenAPIType.STRING),
                },
            )
        )
    },
)


@dataclass
class _Operation(Operation):
    """Its own responses, or a problem: Litestar would describe errors of another schema."""

    def __post_init__(self) -> None:
        responses = {s: r for s, r in (self.responses or {}).items() if s != "400"}
        self.responses = {**responses, "default": Reference(ref="#/components/responses/problem")}


def openapi_config(name: str, assets: str) -> OpenAPIConfig:
    """For the service `name`; Swagger UI loads its files from the path `assets`."""
    return OpenAPIConfig(
        title=f"CineSync {name}",
        version="1",
        path=f"/api/{name}/docs",
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
            },
            responses={"problem": PROBLEM_RESPONSE},
        ),
        render_plugins=[
            SwaggerRenderPlugin(
                path="/",
                js_url=f"{assets}/swagger-ui-bundle.js",
                css_url=f"{assets}/swagger-ui.css",
                standalone_preset_js_url=f"{assets}/swagger-ui-standalone-preset.js",
                favicon=f'<link rel="icon" href="{assets}/favicon-32x32.png">',
            ),
        ],
    )


def describe_handlers(app: Litestar) -> None:
    """Handlers that take `caller` need a token; those that take `visitor` accept one."""
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    for handler in (handler for route in routes for handler in route.route_handlers):
        handler.operation_class = _Operation
        parameters = inspect.signature(handler.fn).parameters
        if "caller" in parameters or handler.opt.get("signed_in"):
            handler.security = [{"bearer": []}]
        elif "visitor" in parameters:
            handler.security = [{}, {"bearer": []}]
