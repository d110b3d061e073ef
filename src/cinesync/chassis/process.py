"""What a service is, and how one or several of them run in a process."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any

from litestar import Litestar
from litestar.types import ASGIApp, ControllerRouterHandler, Receive, Scope, Send

from cinesync.chassis import clock, gc_tuning, telemetry
from cinesync.chassis.background import Loop, Loops
from cinesync.chassis.database import Database, identity
from cinesync.chassis.database import migrations as migrate
from cinesync.chassis.database.gauges import MEASURE_SECONDS, Collector, Measure, of_database
from cinesync.chassis.health import Check, Disk, Health, Intake
from cinesync.chassis.http.app import service_app
from cinesync.chassis.http.client import HttpClient
from cinesync.chassis.http.fast_path import FastPath, FastPaths
from cinesync.chassis.http.health_api import Readiness, health_routes, metrics_route
from cinesync.chassis.http.observation import ObservedApp
from cinesync.chassis.http.problem_responses import EXCEPTION_HANDLERS
from cinesync.chassis.http.security.access_tokens import Verifier, jwks_over_http
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.http.security.revocations import (
    RESPONSE_SECONDS_MAX,
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
STARTING_RETRY_SECONDS = 2


class Starting(Unavailable):
    """We are just starting; please try again in a moment."""


class ServerEnded(RuntimeError):
    """The HTTP server ended by itself."""


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
        float, "/health/ready reports a background loop without a success for longer"
    ] = 60.0
    otel_exporter_otlp_endpoint: Annotated[
        str, "OpenTelemetry collector that gets spans over HTTP; empty: no spans"
    ] = ""
    disk_folder: Annotated[str, "whose disk is watched; empty: none"] = ""
    disk_low_mb: Annotated[float, "/health/ready reports less free space there"] = 500.0
    disk_min_mb: Annotated[float, "with less, no payments are taken"] = 100.0


@dataclass(frozen=True)
class Service:
    """A service as its `app.create(settings)` returns it: wiring, no behaviour.

    Each service package has a module `app` with `Settings`, a dataclass that `settings.load` reads,
    and `create(settings) -> Service`, which opens nothing: a process runs the service.

    `background` are loops that run until cancelled. `drain` runs first at shutdown, to end open
    streams; `close` runs last. `checks` report what the service depends on; `vital` names the loops
    and checks without which `intake` is closed; `measures` are taken periodically. Only the auth
    service has `revocations`: the ended sessions, which its process shares.
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
        """`background`, each with a name; a plain function does not report success."""
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
        # Two processes of one name would both own every lease.
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
        self._readiness = Readiness(
            {s.name: (s.database, s.migrations) for s in services}, self._health, self._bus
        )
        self._stop_now = asyncio.Event()
        self._auth = HttpClient(settings.auth_url, RESPONSE_SECONDS_MAX)
        self._revocations = revocations or Revocations()
        self._revocations.follow(list_over_http(self._auth))
        verifier = Verifier(
            jwks_over_http(self._auth),
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
        own = Litestar(
            [
                *health_routes(self._readiness),
                metrics_route(is_public=bool(services and pages)),
            ],
            exception_handlers=EXCEPTION_HANDLERS,
            openapi_config=None,
            logging_config=None,
        )
        self._own = ObservedApp(own, "process", settings.request_seconds_max)
        self._guard = guarded(
            self,
            settings,
            addresses or ClientAddresses(settings.trusted_proxies),
            urls=[settings.auth_url],
            has_pages=pages is not None,
        )

    async def run(self, prepare: Background, on_ready: Callable[[], None]) -> None:
        """Serve until SIGTERM or SIGINT, then finish requests and release leases.

        SIGTERM drains first, SIGINT does not. `prepare` runs on migrated databases. Until it is
        done, which takes long while a database is away, all requests get 503. Raises OSError when
        the port is taken.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.add_signal_handler(signal.SIGINT, self._on_interrupt, stop)
        async with AsyncExitStack() as stack:
            self._export_spans(stack)
            stack.push_async_callback(self._close)
            stopping = asyncio.create_task(stop.wait())
            self._readiness.is_starting = True
            server = self._server()
            serving = asyncio.create_task(server.serve(), name="http server")
            stack.push_async_callback(self._stop_serving, server, serving)
            if not await _unless(stopping, self._start(prepare)):
                return
            self._readiness.is_starting = False
            gc_tuning.collect_seldom()
            if await _unless(stopping, self._until_listening(serving)):
                on_ready()
            await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
                raise ServerEnded(f"{self._settings.host}:{self._settings.port}")
            log.info("process.stopping")

    def _export_spans(self, stack: AsyncExitStack) -> None:
        """Until the process has closed everything else."""
        endpoint = self._settings.otel_exporter_otlp_endpoint
        if endpoint:
            from cinesync.chassis.telemetry import span_export  # noqa: PLC0415 90 ms and 5 MB

            exporter = span_export.start(endpoint, self._name)
            stack.push_async_callback(_close_part, partial(asyncio.to_thread, exporter.close))

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """ASGI: /api/<service>/… to its service, /health and /metrics to our own app, all else to
        the pages."""
        _, first, second, *_ = [*scope["path"].split("/", 3), "", ""]  # "*" has none
        app: ASGIApp | None = self._own
        if first == "api":
            app = self._apps.get(second)
        elif first not in {"health", "metrics"}:
            app = self._pages
        if self._readiness.is_starting and app is not self._own:
            starting = Starting(retry_after_seconds=STARTING_RETRY_SECONDS)
            return refusals.respond(starting, send, is_for_people=app is self._pages)
        return (app or self._own)(scope, receive, send)

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
        await self._publish()
        self._loops.start(Loop("revocations", self._revocations.run))
        self._loops.start(*(Loop(relay.name, relay.run) for relay in self._relays))
        self._loops.start(*(loop for service in self._services for loop in service.loops()))
        self._loops.start(Loop("health", self._health.run))
        measures = [
            m for s in self._services for m in (*of_database(s.name, s.database), *s.measures)
        ]
        collector = Collector([*measures, *self._bus.measures()])
        self._loops.start(Loop("metrics", collector.run, MEASURE_SECONDS))

    async def _publish(self) -> None:
        """A ready process has published the events of `prepare`, unless the bus is away."""
        for relay in self._relays:
            try:
                await relay.drain()
            except Exception as error:  # noqa: BLE001 the relay's own loop retries
                log.warning("start.untold", reason=repr(error))

    async def _until_listening(self, serving: asyncio.Task[None]) -> None:
        """Returns when the server accepts a connection, which Granian does not report."""
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

    def _on_interrupt(self, stop: asyncio.Event) -> None:
        self._stop_now.set()
        stop.set()

    async def _stop_serving(self, server: HttpServer, serving: asyncio.Task[None]) -> None:
        """Finish accepted requests, for SERVING_SECONDS_MAX at most."""
        self._readiness.is_stopping = True
        if self._readiness.is_starting:  # no client has to move to another process
            self._stop_now.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_seconds):
                await self._stop_now.wait()
        for hook in [hook for service in self._services for hook in service.drain]:
            await _close_part(hook)
        server.stop()
        _, unfinished = await asyncio.wait({serving}, timeout=SERVING_SECONDS_MAX)
        for task in unfinished:
            task.cancel()

    async def _close(self) -> None:
        has_run = bool(self._loops.loops)
        await self._loops.close()
        for hook in [hook for service in self._services for hook in service.close]:
            await _close_part(hook)
        await _close_part(self._auth.close)
        if has_run:
            await asyncio.gather(*(_close_part(relay.drain) for relay in self._relays))
            await asyncio.gather(*(_close_part(relay.close) for relay in self._relays))
        await _close_part(self._bus.close)
        await asyncio.gather(*(_close_part(service.database.close) for service in self._services))


async def _unless(stopping: asyncio.Task[Any], work: Coroutine[Any, Any, None]) -> bool:
    """Run `work` to its end, unless `stopping` ends first. False: it was cancelled."""
    task = asyncio.create_task(work)
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
        return True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return False


async def _close_part(hook: Callable[[], Awaitable[object]]) -> None:
    """Logs an error of `hook`, so that shutdown goes on."""
    try:
        async with asyncio.timeout(SHUTDOWN_PART_SECONDS_MAX):
            await hook()
    except Exception as error:  # noqa: BLE001 logged; the next part closes
        log.warning("shutdown.trouble", part=repr(hook), error=repr(error))
