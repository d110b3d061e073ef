"""The auth service as in production, with cheap hashes, over a real database."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from litestar import Router

from cinesync.auth.app import Settings, create
from cinesync.auth.authentication.authenticator import Authenticator
from cinesync.auth.credentials.signing_keys import SigningKeys
from cinesync.auth.retention.cleanup import Cleanup
from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.http.app import service_app
from cinesync.chassis.http.security.access_tokens import Verifier
from cinesync.chassis.process import Service
from cinesync.chassis.settings import load
from tests.conftest import MakeDatabase

SECRET = "a secret that only the tests know of"
PASSWORD = "popcorn-and-a-movie"
JWKS = "/api/auth/.well-known/jwks.json"

CHEAP = {"HASH_MEMORY_KIB": "64", "HASH_ROUNDS": "1", "SECRET_KEY": SECRET}


@dataclass
class Auth:
    """One process of the service, and a browser with its cookies."""

    service: Service
    browser: httpx.AsyncClient
    verifier: Verifier

    @property
    def db(self) -> Database:
        return self.service.database

    async def post(self, path: str, body: Any = None, **kwargs: Any) -> httpx.Response:
        return await self.browser.post(f"/api/auth/{path}", json=body, **kwargs)

    async def register(self, email: str, **fields: Any) -> httpx.Response:
        body = {"email": email, "password": PASSWORD, "name": "Ada Byron", **fields}
        return await self.post("register", body)

    async def login(self, email: str, password: str = PASSWORD, **kwargs: Any) -> httpx.Response:
        return await self.post("login", {"email": email, "password": password}, **kwargs)

    async def me(self, token: str, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        if body:
            return await self.browser.put("/api/auth/me", json=body, headers=headers)
        return await self.browser.get("/api/auth/me", headers=headers)

    @property
    def signing_keys(self) -> SigningKeys:
        signing_keys = self.service.loops()[0].run.__self__  # type: ignore[attr-defined]
        assert isinstance(signing_keys, SigningKeys)
        return signing_keys

    @property
    def cleanup(self) -> Cleanup:
        cleanup = self.service.loops()[1].run.__self__  # type: ignore[attr-defined]
        assert isinstance(cleanup, Cleanup)
        return cleanup

    @property
    def authenticator(self) -> Authenticator:
        router = self.service.routes[0]
        assert isinstance(router, Router)
        authenticator = router.dependencies["authenticator"].dependency()  # type: ignore[union-attr]
        assert isinstance(authenticator, Authenticator)
        return authenticator

    @property
    def cookie(self) -> str:
        return self.browser.cookies["cinesync_refresh"]

    def forget_cookies(self) -> None:
        self.browser.cookies.clear()

    async def query(self, sql: str, **values: Any) -> list[Any]:
        async def command(tx: Transaction) -> list[Any]:
            return list(await tx.execute(text(sql), values))

        return await self.db.run(command)

    async def count(self, table: str) -> int:
        rows = await self.query(f"SELECT count(*) FROM {table}")
        return int(rows[0][0])


OpenAuth = Callable[..., Awaitable[Auth]]


def _wire(service: Service, client_address: str) -> Auth:
    """The verifier fetches the keys over HTTP, as other services do."""
    browser: httpx.AsyncClient

    async def fetch() -> dict[str, Any]:
        answer: dict[str, Any] = (await browser.get(JWKS)).json()
        return answer

    verifier = Verifier(fetch, service.revocations, pause_seconds=0)
    app: Any = service_app("auth", service.routes, verifier)
    transport = httpx.ASGITransport(app, client=(client_address, 50_000))
    browser = httpx.AsyncClient(transport=transport, base_url="http://shop.example")
    return Auth(service, browser, verifier)


@pytest.fixture
async def open_auth(make_database: MakeDatabase) -> AsyncIterator[OpenAuth]:
    """Opens processes of the service; `database_of` shares the database of another one."""
    async with AsyncExitStack() as stack:

        async def make(
            *, database_of: Auth | None = None, client_address: str = "192.0.2.7", **env: str
        ) -> Auth:
            db = database_of.db if database_of else await make_database("auth")
            url = db.url
            service = create(load(Settings, {**CHEAP, "DATABASE_URL": url, **env}))
            auth = _wire(service, client_address)
            stack.push_async_callback(service.database.close)
            for hook in service.close:
                stack.push_async_callback(hook)
            stack.push_async_callback(auth.browser.aclose)
            return auth

        yield make


@pytest.fixture
async def auth(open_auth: OpenAuth) -> Auth:
    """One process on an empty database."""
    return await open_auth()
