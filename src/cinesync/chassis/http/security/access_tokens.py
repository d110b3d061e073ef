"""Access tokens: ES256 JWTs (RFC 7519, RFC 9068), verified once against the issuer's keys."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from uuid import UUID

from cachetools import FIFOCache
from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from cinesync.chassis import clock, telemetry
from cinesync.chassis.http.client import HttpClient, NoResponse
from cinesync.chassis.http.security.revocations import Revocations, RevocationsUnavailable
from cinesync.chassis.ids import id_of
from cinesync.chassis.problems import Forbidden, Unauthorized, Unavailable

log = telemetry.get_logger(__name__)

ISSUER = "cinesync"
ALGORITHM = "ES256"
TOKEN_TYPE = "at+jwt"  # noqa: S105 a media type, RFC 9068 section 2.1
TOKEN_CHARS_MAX = 2_000
JWKS_PATH = "/api/auth/.well-known/jwks.json"
CACHE_MAX = 200_000  # some 160 MB, when so many tokens are in use
JWKS_PAUSE_SECONDS = 1.0
KEYS_SECONDS_MAX = 300.0

SERVICE_ROLE: Final = "service"  # of a service that calls another one on its own behalf

FetchJwks = Callable[[], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Caller:
    """The user or service that makes a request. `token` is forwarded to other services.

    `session_id` is the session of the token (a guest's own id), `issued_at` a Unix time.
    `email_key` replaces the e-mail address: a guest and an account of one address have the same.
    Tokens of older versions have none of them.
    """

    customer_id: UUID
    role: str
    expires_at: int
    token: str
    email_key: UUID | None = None
    session_id: str = ""
    issued_at: int = 0

    @property
    def is_guest(self) -> bool:
        """Whether the token is for one purchase without an account."""
        return self.role == "guest"


def require(caller: Caller, *roles: str) -> None:
    """Raises Forbidden unless the caller has one of `roles`."""
    if caller.role not in roles:
        raise Forbidden(f"This needs the role {' or '.join(roles)}; yours is {caller.role}.")


class JwksUnavailable(Unavailable):
    """We cannot check access tokens right now; please try again in a moment."""


class SessionEnded(Unauthorized):
    """This session has ended; please sign in again."""


class Verifier:
    """Verifies access tokens; a verified one is cached.

    Tokens of ended sessions are refused (revocations.py), also cached ones.

    Keys are fetched when a token names an unknown key, at most every `pause_seconds`, so that
    invented key ids do not cause a request each; and every few minutes, so that a withdrawn key
    stops working, also for cached tokens.
    """

    def __init__(
        self,
        fetch_jwks: FetchJwks,
        revocations: Revocations | None = None,
        *,
        pause_seconds: float = JWKS_PAUSE_SECONDS,
    ) -> None:
        self._fetch_jwks = fetch_jwks
        self._revocations = revocations or Revocations()
        self._pause_seconds = pause_seconds
        self._keys: dict[str, ECKey] = {}
        self._tried_at = -math.inf
        self._fetched_at = -math.inf
        self._fetching = asyncio.Lock()
        # In the order of their arrival: counting uses would take each request 300 ns.
        self._cache: FIFOCache[str, Caller] = FIFOCache(CACHE_MAX)

    async def verify(self, token: str) -> Caller:
        """Raises Unauthorized for a token that is not valid, JwksUnavailable without keys."""
        if _age(self._fetched_at) > KEYS_SECONDS_MAX and not self._fetching.locked():
            await self._fetch()  # one request waits for it; others use the present keys
        try:
            caller = self._cache[token]
        except KeyError:
            caller = await self._verify(token)
            self.remember(caller)
        if caller.expires_at <= clock.now().timestamp():
            self._cache.pop(token, None)
            raise Unauthorized("The access token has expired.")
        if not self._revocations.is_known:
            await self._load_revocations()
        if self._revocations.has(caller.session_id, caller.issued_at, is_guest=caller.is_guest):
            raise SessionEnded
        return caller

    def remember(self, caller: Caller) -> None:
        """Cache a token that was verified, or issued in this process."""
        self._cache[caller.token] = caller

    async def _load_revocations(self) -> None:
        try:
            await self._revocations.load_first()
        except RevocationsUnavailable as error:
            log.warning("revocations.unavailable", reason=str(error))
            raise JwksUnavailable(retry_after_seconds=2) from error

    async def _verify(self, token: str) -> Caller:
        if len(token) > TOKEN_CHARS_MAX:
            raise Unauthorized("The access token is too long.")
        try:
            key_id = str(jws.extract_compact(token.encode()).headers().get("kid"))
            keys = KeySet([await self._key(key_id)])
            decoded = jwt.decode(token, keys, algorithms=[ALGORITHM])
            return _caller(decoded.header, decoded.claims, token)
        except (JoseError, ValueError, LookupError, TypeError, OverflowError) as error:
            raise Unauthorized("The access token is not valid.") from error

    async def _key(self, key_id: str) -> ECKey:
        """Raises KeyError for a key the issuer does not have."""
        if key_id not in self._keys:
            await self._fetch()
        # The present keys go on working while the issuer is away.
        if key_id not in self._keys and self._tried_at > self._fetched_at:
            raise JwksUnavailable(retry_after_seconds=2)
        return self._keys[key_id]

    async def _fetch(self) -> None:
        async with self._fetching:
            if _age(self._tried_at) < self._pause_seconds:
                return
            self._tried_at = clock.monotonic_seconds()
            try:
                keys = _usable(await self._fetch_jwks())
            except Exception as error:  # noqa: BLE001 no error makes the token invalid
                log.warning("jwks.unavailable", reason=repr(error))
                return
            self._fetched_at = clock.monotonic_seconds()
            if not self._keys.keys() <= keys.keys():
                self._cache.clear()
            self._keys = keys


def _age(since: float) -> float:
    return clock.monotonic_seconds() - since


def _usable(jwks: dict[str, Any]) -> dict[str, ECKey]:
    """The keys of our algorithm; the issuer may have others."""
    keys = [key for key in jwks["keys"] if (key.get("kty"), key.get("crv")) == ("EC", "P-256")]
    return {key["kid"]: ECKey.import_key(key) for key in keys}


def _caller(header: dict[str, Any], claims: dict[str, Any], token: str) -> Caller:
    """Raises KeyError, TypeError or ValueError for claims of another kind of token."""
    if header.get("typ") != TOKEN_TYPE or claims["iss"] != ISSUER:
        raise ValueError("not an access token of this issuer")
    email_key = claims.get("email_key")
    return Caller(
        customer_id=id_of(str(claims["sub"])),
        role=str(claims["role"]),
        expires_at=int(claims["exp"]),
        token=token,
        email_key=None if email_key is None else id_of(str(email_key)),
        session_id=str(claims.get("sid", "")),
        issued_at=int(claims.get("iat", 0)),
    )


def session_of(token: str) -> tuple[str, int]:
    """Session and time of issue of a token that is not verified: it comes from our own store."""
    try:
        claims = json.loads(jws.extract_compact(token.encode()).payload)
        return str(claims.get("sid", "")), int(claims.get("iat", 0))
    except (JoseError, ValueError, TypeError, AttributeError):
        return "", 0


def jwks_over_http(auth: HttpClient) -> FetchJwks:
    """Fetches the issuer's keys from its well-known address."""

    async def fetch() -> dict[str, Any]:
        response = await auth.call("GET", JWKS_PATH)
        if response.status != HTTPStatus.OK:
            raise NoResponse(f"auth answered {response.status}")
        jwks: dict[str, Any] = response.json()
        return jwks

    return fetch
