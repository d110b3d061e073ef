"""Revocations: every process refuses the tokens of sessions that ended before they expired.

Theory of operation
-------------------
An access token is verified without a call to auth. It would stay valid after a sign-out, a changed
password or the theft of a refresh token. It names its session (`sid`), and each process has the
list of sessions that ended while a token of theirs could still be valid; verifying a token looks it
up in memory.

A process requests the list from auth every `POLL_SECONDS`, with an ETag, so that the usual response
is 304. Events would not do: a queue belongs to a service, so that one of its replicas gets the
message and the others go on accepting the token; pages have no queue; and a process that starts
late, or was away, needs the whole list anyway. Each response is the whole list, so no order matters
and nothing is missed. The auth process that ends a session adds it to its own list at once, which
an embedded shop shares.

A process accepts no token until it has the list for the first time. Later, while auth is away, it
uses the list that it has: then no token is renewed either, and each ends within its lifetime.

The list is bounded. An entry is dropped when the last token of its session has expired. If more
than `SESSIONS_MAX` sessions end within that time, the list has only the newest, and `not_before`:
tokens that were issued before it are refused, and browsers fetch new ones. Guests cannot get a new
token; they have a list of their own, whose oldest entries are dropped, so that many invented guests
do not sign out customers.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import msgspec
from prometheus_client import Gauge

from cinesync.chassis import background, clock, telemetry
from cinesync.chassis.http.client import HttpClient, NoResponse

log = telemetry.get_logger(__name__)

PATH = "/api/auth/revocations"
POLL_SECONDS = 2.0
FIRST_PAUSE_SECONDS = 0.5
RESPONSE_SECONDS_MAX = 5.0
SESSIONS_MAX = 100_000
GUESTS_MAX = 20_000

REVOKED = Gauge("cinesync_revoked_sessions", "Ended sessions whose tokens are refused.")


class RevocationList(msgspec.Struct, frozen=True):
    """Ended sessions, each with the Unix time in seconds until which a token may name it.

    Tokens of customers that were issued before `not_before` (Unix time) are refused too.
    """

    sessions: Mapping[str, int]
    guests: Mapping[str, int]
    not_before: int = 0


# From the last ETag to the new ETag and the list, or None when it is the same. Raises NoResponse.
FetchList = Callable[[str], Awaitable[tuple[str, RevocationList | None]]]


class RevocationsUnavailable(Exception):
    """The list cannot be had from the auth service."""


class Revocations:
    """The list of one process. Every thread reads it; only the event loop writes it."""

    def __init__(self) -> None:
        self._fetch: FetchList | None = None
        self._until: dict[str, int] = {}
        self._not_before = 0
        self._etag = ""
        self._loading = asyncio.Lock()
        self._tried_at = -FIRST_PAUSE_SECONDS
        self.is_known = True

    def follow(self, fetch: FetchList) -> None:
        """Fetch the list with `fetch`, unless this process has another source, the auth service."""
        if self._fetch is None:
            self._fetch = fetch
            self.is_known = False

    def has(self, session_id: str, issued_at: int, *, is_guest: bool) -> bool:
        """Whether tokens of this session are refused."""
        return session_id in self._until or (issued_at < self._not_before and not is_guest)

    def merge(self, revoked: RevocationList) -> None:
        """Add entries. Present ones stay until they expire: an ended session stays ended."""
        self._until |= revoked.sessions
        self._until |= revoked.guests
        self._not_before = revoked.not_before

    async def load(self) -> None:
        """Fetch the list. Raises RevocationsUnavailable."""
        if self._fetch is None:
            return
        try:
            etag, revoked = await self._fetch(self._etag)
        except (NoResponse, ValueError) as error:
            raise RevocationsUnavailable(str(error)) from error
        if revoked is not None:
            self.merge(revoked)
        self._etag = etag
        self._forget_expired()
        self.is_known = True

    async def load_first(self) -> None:
        """Fetch it unless it is known; all wait for one request. Raises RevocationsUnavailable."""
        async with self._loading:
            if self.is_known:
                return
            if clock.monotonic_seconds() - self._tried_at < FIRST_PAUSE_SECONDS:
                raise RevocationsUnavailable("the last try has just failed")
            self._tried_at = clock.monotonic_seconds()
            await self.load()

    async def run(self) -> None:
        """Poll until cancelled."""
        is_away = False
        while True:
            try:
                await self.load()
                is_away = False
                background.succeeded()
            except RevocationsUnavailable as error:
                background.failed(error)
                if not is_away:
                    log.warning("revocations.unavailable", reason=str(error))
                is_away = True
            await asyncio.sleep(POLL_SECONDS)

    def _forget_expired(self) -> None:
        now = clock.now().timestamp()
        if any(until <= now for until in self._until.values()):
            self._until = {one: until for one, until in self._until.items() if until > now}
        REVOKED.set(len(self._until))


def list_over_http(auth: HttpClient) -> FetchList:
    """Fetch it from the auth service. An older one without a list has revoked nothing."""

    async def fetch(etag: str) -> tuple[str, RevocationList | None]:
        response = await auth.call("GET", PATH, headers={"If-None-Match": etag} if etag else {})
        if response.status == HTTPStatus.NOT_MODIFIED:
            return etag, None
        if response.status == HTTPStatus.NOT_FOUND:
            return "", None
        if response.status != HTTPStatus.OK:
            raise NoResponse(f"auth responseed {response.status}")
        return response.etag, msgspec.json.decode(response.body, type=RevocationList)

    return fetch
