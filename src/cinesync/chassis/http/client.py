"""Calls to another service or provider: JSON over persistent HTTP connections (aiohttp, ADR 10)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from cinesync.chassis import deadline, telemetry

CONNECTIONS_MAX = 100
JSON_HEADERS = {"content-type": "application/json"}


class NoResponse(Exception):
    """No response came: the request may or may not have taken effect."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """The response of the other side."""

    status: int
    body: bytes
    etag: str = ""

    def json(self) -> Any:
        """The body; None for an empty one. Raises NoResponse for what is no JSON."""
        try:
            return msgspec.json.decode(self.body) if self.body else None
        except ValueError as error:
            raise NoResponse(f"{self.status} with a body that is no JSON") from error


class HttpClient:
    """A client of one base address, with the headers of every request to it."""

    def __init__(
        self, url: str, timeout_seconds: float, headers: Mapping[str, str] | None = None
    ) -> None:
        self._url = url.rstrip("/")
        self._seconds_max = timeout_seconds
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._headers = dict(headers or {})
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> HttpResponse:
        """One request; `body` is anything that msgspec encodes, `content` is JSON already.

        It ends by the deadline of the request that it is made for. Raises NoResponse.
        """
        data = content if body is None else msgspec.json.encode(body)
        with telemetry.client_span(f"{method} {path}"):
            sent = {
                **(JSON_HEADERS if data else {}),
                **_trace(),
                **deadline.headers(),
                **(headers or {}),
            }
            try:
                async with self._opened().request(
                    method,
                    self._url + path,
                    data=data,
                    params=params,
                    headers=sent,
                    timeout=self._current_timeout(),
                ) as response:
                    etag = response.headers.get("ETag", "")
                    return HttpResponse(response.status, await response.read(), etag)
            except (TimeoutError, aiohttp.ClientError) as error:
                raise NoResponse(str(error) or type(error).__name__) from error

    def _current_timeout(self) -> aiohttp.ClientTimeout:
        """A shorter one only when the deadline comes first."""
        left = deadline.remaining(self._seconds_max)
        if left >= self._seconds_max:
            return self._timeout
        return aiohttp.ClientTimeout(total=left)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _opened(self) -> aiohttp.ClientSession:
        """A session belongs to the running event loop, so the first call opens it."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
                headers=self._headers,
            )
        return self._session


def _trace() -> dict[str, str]:
    trace = telemetry.current_trace()
    return {"traceparent": trace} if trace else {}
