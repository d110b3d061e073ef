"""Checks of every request before any app sees it: an ASGI app around all that a port serves.

A request costs its sender little, so refusing it must cost little too. The head is checked first.
The body is read on the event loop, up to a size and a deadline, so that no page thread waits for a
client. A client with too many requests in progress gets 429. The hot path is mostly C: one `dict`
and two joins of the headers.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from litestar.types import ASGIApp, Receive, Send

from cinesync.chassis import telemetry
from cinesync.chassis.http.asgi import BODY_BYTES_MAX, with_body
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.http.server.body_reader import BodyReader
from cinesync.chassis.http.server.host_names import HostNames
from cinesync.chassis.http.server.refusals import (
    METHODS,
    BodyTooLarge,
    HeadersTooLarge,
    HostNotOurs,
    HostUnclear,
    MethodUnknown,
    PathUnclear,
    RequestRefused,
    TargetTooLong,
    TooManyFromHere,
    TooManyInProgress,
    respond,
)
from cinesync.chassis.problems import Problem

log = telemetry.get_logger(__name__)

HEAD_BYTES_MAX: Final = 32 * 1024
TARGET_BYTES_MAX: Final = 8 * 1024
BODY_SECONDS_MAX: Final = 20.0
# A school has one address, and so have all clients of a proxy that is not in TRUSTED_PROXIES.
PER_ADDRESS_MAX: Final = 1_000
RETRY_SECONDS: Final = 5

# Invalid UTF-8 arrives as U+FFFD. Control characters would end up in logs and redirects.
UNCLEAR_PATH = re.compile("[\x00-\x1f\x7f\ufffd]")
FORWARDED_HOST: Final = b"x-forwarded-host"
NOT_ASCII = re.compile(rb"[\x80-\xff]")


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Of one process. `in_progress_max` is the total, `per_address_max` that of one client."""

    in_progress_max: int
    per_address_max: int = PER_ADDRESS_MAX
    head_bytes_max: int = HEAD_BYTES_MAX
    target_bytes_max: int = TARGET_BYTES_MAX
    body_bytes_max: int = BODY_BYTES_MAX
    body_seconds_max: float = BODY_SECONDS_MAX


class Guard:
    """Around an ASGI app. With `has_pages`, refusals outside the APIs are pages, not JSON."""

    def __init__(
        self,
        app: ASGIApp,
        limits: RequestLimits,
        hosts: HostNames,
        addresses: ClientAddresses,
        *,
        has_pages: bool = False,
    ) -> None:
        self._app = app
        self.limits = limits
        self._hosts = hosts
        self._addresses = addresses
        self._has_pages = has_pages
        self._in_progress: dict[str, int] = {}
        self._total = 0
        self._busy: set[tuple[str, Any]] = set()
        self._bodies = BodyReader(limits.body_bytes_max, limits.body_seconds_max)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """One request."""
        address = ""
        try:
            found = self._check_head(scope)
            address = self._enter(scope, found)
            self._busy.add(scope["client"])
            if b"content-length" in found or b"transfer-encoding" in found:
                receive = await self._with_body(scope, found, receive)
            await self._app(scope, receive, send)
        except RequestRefused as refused:
            await self._refuse(refused.problem, scope, send)
        finally:
            if address:
                self._busy.discard(scope["client"])
                self._leave(address)

    def is_busy(self, peer: tuple[str, int]) -> bool:
        """Whether a request of this connection is in progress."""
        host, port = peer
        return (host, port) in self._busy or (host, str(port)) in self._busy

    def is_proxy(self, address: str) -> bool:
        """Whether many clients share the connections of `address`."""
        return self._addresses.is_proxy(address)

    def _check_head(self, scope: Any) -> dict[bytes, bytes]:
        """The headers by name, the last of each; `scope` has those that apps may see."""
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        found = dict(headers)
        path, query = scope["path"], scope["query_string"]
        if len(path) + len(query) > self.limits.target_bytes_max:
            raise RequestRefused(TargetTooLong())
        if len(b"".join(chain.from_iterable(headers))) > self.limits.head_bytes_max:
            raise RequestRefused(HeadersTooLarge())
        if scope["method"] not in METHODS:
            raise RequestRefused(MethodUnknown())
        host = found.get(b"host", b"")
        if len(found) != len(headers) and sum(name == b"host" for name, _ in headers) != 1:
            raise RequestRefused(HostUnclear())
        if not (is_ours := self._hosts.accepts(host)):
            raise RequestRefused(HostUnclear() if is_ours is None else HostNotOurs())
        if UNCLEAR_PATH.search(path):
            raise RequestRefused(PathUnclear())
        if b"_" in b"".join(found) or not query.isascii() or self._is_misdirected(found):
            scope["headers"] = [pair for pair in headers if self._is_for_apps(*pair)]
            scope["query_string"] = NOT_ASCII.sub(lambda byte: b"%%%02X" % byte[0][0], query)
        return found

    def _is_misdirected(self, found: dict[bytes, bytes]) -> bool:
        """Whether the last X-Forwarded-Host, which apps read, is not a name of this process."""
        host = found.get(FORWARDED_HOST)
        return host is not None and not self._hosts.accepts(host)

    def _is_for_apps(self, name: bytes, value: bytes) -> bool:
        """WSGI reads X_Y as X-Y, so a client could forge the headers of a proxy; and a proxy that
        sets no X-Forwarded-Host passes on that of the client.
        """
        return b"_" not in name and (name != FORWARDED_HOST or self._hosts.accepts(value) is True)

    def _enter(self, scope: Any, found: dict[bytes, bytes]) -> str:
        """Count the request; returns its client address. Raises RequestRefused."""
        address = self._addresses.store(scope, found)
        count = self._in_progress.get(address, 0)
        if count >= self.limits.per_address_max:
            raise RequestRefused(TooManyFromHere(retry_after_seconds=RETRY_SECONDS))
        if self._total >= self.limits.in_progress_max:
            raise RequestRefused(TooManyInProgress(retry_after_seconds=RETRY_SECONDS))
        self._in_progress[address] = count + 1
        self._total += 1
        return address

    def _leave(self, address: str) -> None:
        self._total -= 1
        count = self._in_progress[address] - 1
        if count:
            self._in_progress[address] = count
        else:
            del self._in_progress[address]

    async def _with_body(self, scope: Any, found: dict[bytes, bytes], receive: Receive) -> Receive:
        """Reads the whole body; returns a `receive` with it. Raises RequestRefused."""
        length = found.get(b"content-length")
        if length == b"0":
            return receive
        # Granian answers 400 to a length that is no number, and drops one beside chunks.
        size = None if length is None else int(length)
        if size is not None and size > self._bodies.bytes_max:
            raise RequestRefused(BodyTooLarge())
        body = await self._bodies.read(receive, size)
        if size is None:  # it came in chunks; WSGI takes no body without a length
            headers = [pair for pair in scope["headers"] if pair[0] != b"transfer-encoding"]
            scope["headers"] = [*headers, (b"content-length", b"%d" % len(body))]
        return with_body(body, receive)

    async def _refuse(self, problem: Problem, scope: Any, send: Send) -> None:
        log.info(
            "http.refused",
            problem=type(problem).__name__,
            status=problem.status,
            method=scope["method"][:20],
            path=scope["path"][:200],
            client=scope["client"][0] if scope["client"] else None,
        )
        is_for_people = self._has_pages and not scope["path"].startswith("/api/")
        await respond(problem, send, is_for_people=is_for_people)
