"""Settings and wiring of the bank; `run` is the whole process."""

import asyncio
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import uvloop
from litestar import Litestar
from litestar.datastructures import State
from litestar.di import Provide
from litestar.types import ASGIApp

from cinesync.bank import routes
from cinesync.bank.model import BankError, ChargeRequest
from cinesync.bank.schemas import BODY_BYTES_MAX
from cinesync.bank.store import BankStore, ChargeResult, Delays
from cinesync.bank.webhooks import WebhookSender
from cinesync.chassis import gc_tuning
from cinesync.chassis.background import Loop, Loops
from cinesync.chassis.backoff import Backoff
from cinesync.chassis.batcher import Batcher
from cinesync.chassis.http import strict_bodies
from cinesync.chassis.http.client import HttpClient
from cinesync.chassis.http.fast_path import FastPaths
from cinesync.chassis.http.security.access_tokens import Verifier
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.http.security.response_headers import SecurityHeaders
from cinesync.chassis.http.server.http_server import HttpSettings, guarded, http_server
from cinesync.chassis.http.strict_bodies import NoBodyTaken, UnknownMember
from cinesync.chassis.settings import Secret

WEBHOOK_RETRY_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the bank reads from the environment, beside its command line."""

    bank_secret: Annotated[str, "the shop's API key, signs webhooks; the shop has it too", Secret()]


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the bank listens and stores its data, where it sends webhooks, and its delays.

    `webhook_url` is the shop's `/api/payment/webhooks/sandbox`; `secret` signs webhooks and is
    the shop's API key; `public_url` is what card holders' browsers reach (default: host and port).
    """

    port: int
    data: Path
    webhook_url: str
    secret: str = field(repr=False)
    host: str = "127.0.0.1"
    public_url: str = ""
    hang_seconds: float = 30.0
    poll_seconds: float = 0.1
    webhook_retry_seconds: float = 0.5
    webhook_timeout_seconds: float = 5.0
    delays: Delays = field(default_factory=Delays)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Kill -9 loses nothing: every commit is on disk."""
    gc_tuning.collect_seldom()
    uvloop.run(serve(settings))


async def serve(settings: Settings) -> None:
    """`run`, in the event loop of the caller."""
    bank = create(settings)
    listening = HttpSettings(settings.host, settings.port, settings.public_url)
    server = http_server(guarded(bank.app, listening, ClientAddresses()), listening)

    def stop() -> None:
        bank.closing.set()
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    loops = Loops()
    loops.start(Loop("bank.webhooks", partial(bank.sender.run, settings.poll_seconds)))
    await server.serve()
    await loops.close()
    await bank.close()


@dataclass(frozen=True, slots=True)
class BankProcess:
    """The bank. `closing` ends withheld responses."""

    app: ASGIApp
    store: BankStore
    sender: WebhookSender
    closing: asyncio.Event

    async def close(self) -> None:
        """Close its connections and its store."""
        await self.sender.close()
        self.store.close()


def create(settings: Settings) -> BankProcess:
    """The bank with an open store, not serving yet."""
    store = BankStore(settings.data, settings.delays)
    sender = WebhookSender(
        store,
        HttpClient(settings.webhook_url, settings.webhook_timeout_seconds),
        settings.secret,
        Backoff(settings.webhook_retry_seconds, WEBHOOK_RETRY_SECONDS_MAX),
    )
    closing = asyncio.Event()
    return BankProcess(_create_app(settings, store, sender, closing), store, sender, closing)


def _create_app(
    settings: Settings, store: BankStore, sender: WebhookSender, closing: asyncio.Event
) -> ASGIApp:
    async def charge(requests: Sequence[ChargeRequest]) -> Sequence[ChargeResult | Exception]:
        return await asyncio.to_thread(store.charge, requests)

    context = routes.BankContext(
        store=store,
        sender=sender,
        charges=Batcher("bank charges", charge),
        secret=settings.secret,
        public_url=settings.public_url or f"http://{settings.host}:{settings.port}",
        hang_seconds=settings.hang_seconds,
        closing=closing,
    )
    app = Litestar(
        route_handlers=routes.routers(),
        dependencies={"context": Provide(lambda: context, sync_to_thread=False)},
        before_request=strict_bodies.refuse_needless,
        exception_handlers={
            BankError: routes.explain,
            UnknownMember: routes.explain_body,
            NoBodyTaken: routes.explain_body,
        },
        state=State({"context": context}),
        openapi_config=None,
        request_max_body_size=BODY_BYTES_MAX,
    )
    strict_bodies.check(app)
    return SecurityHeaders(FastPaths(routes.fast_paths(context), Verifier(_no_keys), app))


async def _no_keys() -> dict[str, Any]:
    """Shops authenticate with the secret, not with access tokens."""
    return {"keys": []}
