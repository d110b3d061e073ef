"""`/health/live`, `/health/ready` and `/metrics` of a process."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.types import ControllerRouterHandler
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from cinesync.chassis.database import Database, migrations
from cinesync.chassis.health import Health
from cinesync.chassis.http.security.client_address import is_local
from cinesync.chassis.messaging.bus import Bus

READY_CHECK_SECONDS = 3.0


@dataclass
class Readiness:
    """Whether a process can serve. `databases` has each service's database and migrations."""

    databases: Mapping[str, tuple[Database, str]]
    health: Health
    bus: Bus
    is_starting: bool = False
    is_stopping: bool = False

    async def troubles(self) -> dict[str, str]:
        """Why the process cannot serve right now, by part, apart from what closes its intakes."""
        if self.is_starting or self.is_stopping:
            return {"process": "stopping" if self.is_stopping else "starting"}
        checks = await asyncio.gather(*(_trouble(*one) for one in self.databases.values()))
        found = zip(self.databases, checks, strict=True)
        return {name: trouble for name, trouble in found if trouble}

    def degraded(self) -> dict[str, str]:
        """What an operator should look at while the process serves.

        A bus that is away is among it at first: no other process has a better one, and events wait
        in the outbox. When they have waited too long, their loops close the intakes.
        """
        bus = {"bus": trouble} if (trouble := self.bus.trouble()) else {}
        return bus | self.health.degraded


async def _trouble(database: Database, revisions: str) -> str | None:
    try:
        async with asyncio.timeout(READY_CHECK_SECONDS):
            await database.ping()
            if await migrations.is_current(database, revisions):
                return None
            return "its database is not migrated"
    except Exception as error:  # noqa: BLE001 each error makes the process unready
        return f"its database does not answer: {type(error).__name__}"


def health_routes(readiness: Readiness) -> list[ControllerRouterHandler]:
    """Both under /health."""

    @get("/health/live")
    async def live() -> dict[str, str]:
        """The event loop of the process runs."""
        return {"status": "live"}

    @get("/health/ready")
    async def ready() -> Response[dict[str, Any]]:
        """Databases answer, migrations are done, and what the process begins it can finish."""
        troubles = await readiness.troubles() | readiness.health.closed
        degraded = readiness.degraded()
        status = "not ready" if troubles else "degraded" if degraded else "ready"
        body = {"status": status, "troubles": degraded | troubles}
        return Response(body, status_code=503 if troubles else 200)

    return [live, ready]


def metrics_route(*, is_public: bool) -> ControllerRouterHandler:
    """A public process answers requests from its own machine only."""

    @get("/metrics")
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Prometheus text format."""
        if is_public and not is_local(request):
            raise NotFoundException
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return metrics
