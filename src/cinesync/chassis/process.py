"""What a service is, and how one or several of them run in a process."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any

from litestar import Litestar, Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from cinesync.chassis import clock, gc_tuning, telemetry
from cinesync.chassis.background import Loop, Loops
from cinesync.chassis.database import Database, identity
from cinesync.chassis.database import migrations as migrate
from cinesync.chassis.database.gauges import MEASURE_SECONDS, Collector, Measure, of_database
from cinesync.chassis.health import Check, Disk, Health, Intake
from cinesync.chassis.http.app import service_app
from cinesync.chassis.http.client import HttpClient
from cinesync.chassis.http.fast_path import FastPath, FastPaths
from cinesync.chassis.http.observation import ObservedApp
from cinesync.chassis.http.problem_responses import EXCEPTION_HANDLERS
from cinesync.chassis.http.security.access_tokens import Verifier, jwks_over_http
from cinesync.chassis.http.security.client_address import ClientAddresses, is_from_here
from cinesync.chassis.http.security.revocations import (
    ANSWER_SECONDS_MAX,
    Revocations,
    list_over_http,
)
from cinesync.chassis.http.server import refusals
from cinesync.chassis.http.server.http_server import HttpServer, HttpSettings, guarded, http_server
from cinesync.chassis.messaging.bus import Bus, EmbeddedBus, Listeners
from cinesync.chassis.messaging.inbox import Handlers, Inbox
from cinesync.chassis.messaging.outbox import Relay
from cinesync.chassis.problems import Unavailable
from cinesync.chassis.settings import Secret

log = telemetry.get_logger(__name__)

Background = Callable[[], Awaitable[None]]

SERVING_SECONDS_MAX = 15.0
SHUTDOWN_PART_SECONDS_MAX = 3.0
READY_CHECK_SECONDS = 3.0
STARTING_RETRY_SECONDS = 2


class Starting(Unavailable):
    """We are just starting; please try again in a moment."""


class ServerEnded(RuntimeError):
    """The HTTP server ended without being asked to."""


@dataclass(frozen=True, slots=True)
class ProcessSettings(HttpSettings):
    """What a process needs beside its services' own settings."""

    auth_url: Annotated[str, "where the auth service answers"] = "http://127.0.0.1:8000"
    trusted_proxies: Annotated[str, "addresses or CIDR blocks whose X-Forwarded-For we read"] = ""
    visitor_key: Annotated[
        str,
        "proves whose address the storefront passes on; empty: derived from SECRET_KEY",
        Secret(),
    ] = ""
    instance: Annotated[str, "this process's own stable name; empty: its host and port"] = ""
    drain_seconds: Annotated[
        float, "after SIGTERM, not ready but serving for so long, until balancers have noticed"
    ] = 0.0
    log_level: Annotated[str, "DEBUG, INFO, WARNING or ERROR"] = "INFO"
    request_seconds_max: Annotated[
        float, "a request to an API begins to be answered by then, or gets 503"
    ] = 15.0
    loop_silent_seconds_max: Annotated[
        float, "a background loop without a success for longer is told in /health/ready"
    ] = 60.0
    disk_folder: Annotated[str, "where room on the disk is watched; empty: nowhere"] = ""
    disk_low_mb: Annotated[float, "less free room there is told in /health/ready"] = 500.0
    disk_min_mb: Annotated[float, "with less, no payments are taken"] = 100.0


@dataclass(frozen=True)
class Service:
    """A service as its `app.build` returns it: wiring, no behaviour.

    `background` are loops that run until cancelled. `drain` is called first at shutdown, to end
    what would keep connections open; `close` last. `checks` say what it depends on; `vital` names
    the loops and checks without which `intake` is closed; `measures` are made now and then. The
    auth service has the `revocations` that its process refuses tokens by.
    """

    name: str
    database: Database
    routes: Sequence[ControllerRouterHandler]
    migrations: str
    handlers: Handlers = field(default_factory=dict)
    listeners: Listeners = field(default_factory=dict)
    fast_paths: Sequence[FastPath] = ()
    background: Sequence[Background | Loop] = ()
    drain: Sequence[Background] = ()
    close: Sequence[Background] = ()
    checks: Mapping[str, Check] = field(default_factory=dict)
    measures: Sequence[Measure] = ()
    vital: Collection[str] = ()
    intake: Intake = field(default_factory=Intake)
    revocations: Revocations | None = None

    def loops(self) -> list[Loop]:
        """With a name each; one that is only a function says nothing of its success."""
        return [
            part
            if isinstance(part, Loop)
            else Loop(f"{self.name}.{getattr(part, '__name__', 'loop')}", part, None)
            for part in self.background
        ]


class Process:
    """Services, their bus and their relays in one process behind one port."""

    def __init__(
        self,
        services: Sequence[Service],
        settings: ProcessSettings,
        bus: Bus | None = None,
        pages: ASGIApp | None = None,
        addresses: ClientAddresses | None = None,
        revocations: Revocations | None = None,
    ) -> None:
        self._services = services
        self._settings = settings
        self._bus: Bus = bus or EmbeddedBus()
        # Two processes with one name would both own every lease.
        self._name = settings.instance or f"{socket.gethostname()}:{settings.port}"
        self._relays = [Relay(s.name, s.database, self._bus, self._name) for s in services]
        self._loops = Loops(silent_seconds_max=settings.loop_silent_seconds_max)
        self._health = Health(
            Disk(settings.disk_folder, settings.disk_low_mb, settings.disk_min_mb),
            lambda: [*self._loops.loops, *self._bus.loops.loops],
            checks={part: check for s in services for part, check in s.checks.items()},
            vital=[part for s in services for part in s.vital],
            intakes=[s.intake for s in services],
        )
        self._stopping = False
        self._is_starting = False
        self._hurry = asyncio.Event()
        self._auth = HttpClient(settings.auth_url, ANSWER_SECONDS_MAX)
        self._revocations = revocations or Revocations()
        self._revocations.listen_to(list_over_http(self._auth))
        verifier = Verifier(
            jwks_over_http(f"{settings.auth_url}/api/auth/.well-known/jwks.json"),
            self._revocations,
        )
        self._apps: dict[str, ASGIApp] = {
            s.name: ObservedApp(
                FastPaths(
                    s.fast_paths,
                    verifier,
                    service_app(s.name, s.routes, verifier, addresses=addresses),
                ),
                s.name,
                settings.request_seconds_max,
            )
            for s in services
        }
        self._pages = ObservedApp(pages, "web") if pages else None
        door = Litestar(
            [self._live(), self._ready(), _metrics(is_public=bool(services and pages))],
            exception_handlers=EXCEPTION_HANDLERS,
            openapi_config=None,
            logging_config=None,
        )
        self._door = ObservedApp(door, "process", settings.request_seconds_max)
        self._guard = guarded(
            self,
            settings,
            addresses or ClientAddresses(settings.trusted_proxies),
            urls=[settings.auth_url],
            has_pages=pages is not None,
        )

    async def run(self, prepare: Background, on_ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT, then finish or hand back everything.

        SIGTERM drains first, SIGINT does not. `prepare` runs on migrated databases; until it is
        done, which may wait for the database for long, everybody gets 503. Raises OSError when the
        port is taken.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, self._stop_at_once, stop)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._close)
            stopping = asyncio.create_task(stop.wait())
            self._is_starting = True
            server = self._server()
            serving = asyncio.create_task(server.serve(), name="http server")
            stack.push_async_callback(self._stop_serving, server, serving)
            if not await _unless(stopping, self._start(prepare)):
                return
            self._is_starting = False
            gc_tuning.collect_seldom()
            if await _unless(stopping, self._until_listening(serving)):
                on_ready()
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
                raise ServerEnded(f"{self._settings.host}:{self._settings.port}")
            log.info("process.stopping")

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """ASGI: /api/<service>/… to its service, /health and /metrics here, the rest to pages."""
        _, first, second, *_ = [*scope["path"].split("/", 3), "", ""]  # "*" has none
        app: ASGIApp | None = self._door
        if first == "api":
            app = self._apps.get(second)
        elif first not in {"health", "metrics"}:
            app = self._pages
        if self._is_starting and app is not self._door:
            starting = Starting(retry_after_seconds=STARTING_RETRY_SECONDS)
            return refusals.respond(starting, send, is_for_people=app is self._pages)
        return (app or self._door)(scope, receive, send)

    async def _start(self, prepare: Background) -> None:
        for service in self._services:
            await migrate.create_if_missing(service.database)
            await migrate.upgrade(service.database, service.migrations, self._name)
            known_as = await service.database.run(identity.identify, clock.new_id())
            self._bus.own(service.name, known_as)
            for event_type, handler in service.handlers.items():
                self._bus.subscribe(Inbox(service.name, event_type, handler, service.database))
            for event_type, listener in service.listeners.items():
                self._bus.listen(event_type, listener)
        self._bus.loops.silent_seconds_max = self._settings.loop_silent_seconds_max
        await self._bus.start()
        await prepare()
        await self._tell()
        self._loops.start(Loop("revocations", self._revocations.run))
        self._loops.start(*(Loop(relay.name, relay.run) for relay in self._relays))
        self._loops.start(*(loop for service in self._services for loop in service.loops()))
        self._loops.start(Loop("health", self._health.run))
        measures = [
            m for s in self._services for m in (*of_database(s.name, s.database), *s.measures)
        ]
        collector = Collector([*measures, *self._bus.measures()])
        self._loops.start(Loop("metrics", collector.run, MEASURE_SECONDS))

    async def _tell(self) -> None:
        """Ready means that the others know what was prepared; or will, when the bus is there."""
        for relay in self._relays:
            try:
                await relay.drain()
            except Exception as error:  # noqa: BLE001 the relay's own loop tries again
                log.warning("start.untold", reason=repr(error))

    async def _until_listening(self, serving: asyncio.Task[None]) -> None:
        """Granian binds in its own time; ready means that a connection is taken."""
        while not serving.done():
            try:
                _, writer = await asyncio.open_connection(self._settings.host, self._settings.port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return

    def _server(self) -> HttpServer:
        """Raises OSError for a taken port."""
        return http_server(self._guard, self._settings)

    def _stop_at_once(self, stop: asyncio.Event) -> None:
        self._hurry.set()
        stop.set()

    async def _stop_serving(self, server: HttpServer, serving: asyncio.Task[None]) -> None:
        """Answer what was accepted; a client that never ends cannot hold us for ever."""
        self._stopping = True
        if self._is_starting:  # nobody is served who would have to be sent elsewhere
            self._hurry.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._hurry.wait()
        for hook in [hook for service in self._services for hook in service.drain]:
            await _quietly(hook)
        server.stop()
        _, unfinished = await asyncio.wait({serving}, timeout=SERVING_SECONDS_MAX)
        for task in unfinished:
            task.cancel()

    async def _close(self) -> None:
        has_run = bool(self._loops.loops)
        await self._loops.close()
        for hook in [hook for service in self._services for hook in service.close]:
            await _quietly(hook)
        await _quietly(self._auth.close)
        if has_run:
            await asyncio.gather(*(_quietly(relay.drain) for relay in self._relays))
            await asyncio.gather(*(_quietly(relay.close) for relay in self._relays))
        await _quietly(self._bus.close)
        await asyncio.gather(*(_quietly(service.database.close) for service in self._services))

    async def _troubles(self) -> dict[str, str]:
        """What stops us from selling right now, by part."""
        if self._stopping or self._is_starting:
            return {"process": "stopping" if self._stopping else "starting"}
        checks = await asyncio.gather(*(self._database_trouble(s) for s in self._services))
        troubles = zip((s.name for s in self._services), checks, strict=True)
        return {part: trouble for part, trouble in troubles if trouble}

    async def _database_trouble(self, service: Service) -> str | None:
        try:
            async with asyncio.timeout(READY_CHECK_SECONDS):
                await service.database.ping()
                if await migrate.is_current(service.database, service.migrations):
                    return None
                return "its database is not migrated"
        except Exception as error:  # noqa: BLE001 whatever it is, it is the answer
            return f"its database does not answer: {type(error).__name__}"

    def _live(self) -> ControllerRouterHandler:
        @get("/health/live")
        async def live() -> dict[str, str]:
            """The process runs its loop."""
            return {"status": "live"}

        return live

    def _ready(self) -> ControllerRouterHandler:
        @get("/health/ready")
        async def ready() -> Response[dict[str, Any]]:
            """Databases and migrations are there, and what is begun will be finished.

            A bus that is away is told, and at first no reason to send customers elsewhere: no
            other process has a better one, and events wait in the outbox. When they have waited
            for too long, the loops that bring them stop what depends on them.
            """
            troubles = await self._troubles() | self._health.closed
            waiting = {"bus": trouble} if (trouble := self._bus.trouble()) else {}
            waiting |= self._health.degraded
            status = "not ready" if troubles else "degraded" if waiting else "ready"
            body = {"status": status, "troubles": waiting | troubles}
            return Response(body, status_code=503 if troubles else 200)

        return ready


def _metrics(*, is_public: bool) -> ControllerRouterHandler:
    @get("/metrics")
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Prometheus text format; a public door tells it on its own machine only."""
        if is_public and not is_from_here(request):
            raise NotFoundException
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return metrics


async def _unless(stopping: asyncio.Task[Any], work: Coroutine[Any, Any, None]) -> bool:
    """Do `work` to its end, unless told to stop first. False: it was broken off."""
    task = asyncio.create_task(work)
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return False


async def _quietly(hook: Callable[[], Awaitable[object]]) -> None:
    """Shutdown goes on whatever one part says."""
    try:
        async with asyncio.timeout(SHUTDOWN_PART_SECONDS_MAX):
            await hook()
    except Exception as error:  # noqa: BLE001 noted, and the next part gets its turn
        log.warning("shutdown.trouble", part=repr(hook), error=repr(error))
