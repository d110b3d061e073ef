"""Sessions that ended before their access tokens did: whose tokens every process refuses.

An access token is verified without asking anybody, so that it would live on after a sign-out, a
changed password or a stolen refresh token. It names its session (`sid`), and each process keeps the
short list of sessions that ended while a token of theirs could still be good; verifying looks into
a set in memory.

How a process learns of them: it asks the auth service every `POLL_SECONDS` for the list, with an
ETag, so that the usual answer is 304. An event would not do. A queue belongs to a service: of its
replicas one gets the message and the others go on letting the thief in; the pages have no queue; a
process that starts late, or was away, needs the list anyway. The list is whole in each answer, so
that nothing has to be in order and nothing can be missed. The auth process that ends a session adds
it to its own list at once: in an embedded shop that is everybody's.

A process lets nobody in by token until it has the list for the first time. Later, while auth is
away, it goes on with what it knows: no token is renewed then, and each ends within its lifetime.

The list is bounded: an entry goes when the last token of its session has expired, and where more
than `SESSIONS_MAX` sessions ended within a lifetime, the answer has only the newest of them and
`not_before`, and tokens that were issued before that are refused (their owners' browsers fetch new
ones). Guests have no way to a new token; they have a list of their own, whose oldest entries are
dropped, so that a crowd of made-up guests signs nobody out.
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
ANSWER_SECONDS_MAX = 5.0
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


# Takes the last ETag; answers the ETag now and the list, or None for no news. Raises NoResponse.
Ask = Callable[[str], Awaitable[tuple[str, RevocationList | None]]]


class NotHeard(Exception):
    """The auth service has not told the list."""


class Revocations:
    """What one process knows. Read from every thread, written by the event loop alone."""

    def __init__(self) -> None:
        self._ask: Ask | None = None
        self._until: dict[str, int] = {}
        self._not_before = 0
        self._etag = ""
        self._loading = asyncio.Lock()
        self._tried_at = -FIRST_PAUSE_SECONDS
        self.is_known = True

    def listen_to(self, ask: Ask) -> None:
        """Learn from there; a process that has the auth service itself asks nobody else."""
        if self._ask is None:
            self._ask = ask
            self.is_known = False

    def has(self, session_id: str, issued_at: int, *, is_guest: bool) -> bool:
        """Whether tokens of this session are refused."""
        return session_id in self._until or (issued_at < self._not_before and not is_guest)

    def take(self, heard: RevocationList) -> None:
        """Nobody's session begins again: what is known stays until it expires."""
        self._until |= heard.sessions
        self._until |= heard.guests
        self._not_before = heard.not_before

    async def load(self) -> None:
        """Hear the list. Raises NotHeard."""
        if self._ask is None:
            return
        try:
            etag, heard = await self._ask(self._etag)
        except (NoResponse, ValueError) as error:
            raise NotHeard(str(error)) from error
        if heard is not None:
            self.take(heard)
        self._etag = etag
        self._forget_expired()
        self.is_known = True

    async def load_first(self) -> None:
        """Hear it unless it is known; many may wait for one answer. Raises NotHeard."""
        async with self._loading:
            if self.is_known:
                return
            if clock.monotonic_seconds() - self._tried_at < FIRST_PAUSE_SECONDS:
                raise NotHeard("asked a moment ago")
            self._tried_at = clock.monotonic_seconds()
            await self.load()

    async def run(self) -> None:
        """Hear it again and again, until cancelled."""
        is_away = False
        while True:
            try:
                await self.load()
                is_away = False
                background.succeeded()
            except NotHeard as error:
                background.failed(error)
                if not is_away:
                    log.warning("revocations.not_heard", reason=str(error))
                is_away = True
            await asyncio.sleep(POLL_SECONDS)

    def _forget_expired(self) -> None:
        now = clock.now().timestamp()
        if any(until <= now for until in self._until.values()):
            self._until = {one: until for one, until in self._until.items() if until > now}
        REVOKED.set(len(self._until))


def list_over_http(auth: HttpClient) -> Ask:
    """Ask the auth service. One from before there was a list has revoked nothing."""

    async def ask(etag: str) -> tuple[str, RevocationList | None]:
        answer = await auth.call("GET", PATH, headers={"If-None-Match": etag} if etag else {})
        if answer.status == HTTPStatus.NOT_MODIFIED:
            return etag, None
        if answer.status == HTTPStatus.NOT_FOUND:
            return "", None
        if answer.status != HTTPStatus.OK:
            raise NoResponse(f"auth answered {answer.status}")
        return answer.etag, msgspec.json.decode(answer.body, type=RevocationList)

    return ask
