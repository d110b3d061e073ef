"""Access tokens: what is let in, what is not, and what happens while keys change or are away."""

import asyncio
import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey

from cinesync.chassis import clock
from cinesync.chassis.http.client import HttpClient, HttpResponse, NoResponse
from cinesync.chassis.http.security import access_tokens
from cinesync.chassis.http.security.access_tokens import (
    Caller,
    JwksUnavailable,
    Verifier,
    jwks_over_http,
    require,
)
from cinesync.chassis.problems import Forbidden, Unauthorized
from tests.conftest import Sign

CUSTOMER = UUID(int=7)


class Issuer:
    """The keys an auth service publishes, and how often it was requested."""

    def __init__(self, *kids: str) -> None:
        self.keys = {kid: ECKey.generate_key("P-256", {"kid": kid}) for kid in kids}
        self.foreign: list[dict[str, Any]] = []
        self.requests = 0
        self.failure: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()

    async def fetch(self) -> dict[str, Any]:
        self.requests += 1
        await self.answers.wait()
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        own = [key.as_dict(private=False) for key in self.keys.values()]
        return {"keys": [*self.foreign, *own]}

    def sign(self, kid: str, **changes: Any) -> str:
        claims = {
            "iss": access_tokens.ISSUER,
            "sub": str(CUSTOMER),
            "role": "customer",
            "exp": int(clock.now().timestamp()) + 900,
        }
        claims = {k: v for k, v in (claims | changes).items() if v is not None}
        header = {"alg": "ES256", "kid": kid, "typ": access_tokens.TOKEN_TYPE}
        return jwt.encode(header, claims, self.keys[kid], algorithms=["ES256"])


async def withdrawn() -> tuple[Issuer, Verifier, str]:
    """A token that was good when the verifier saw it; its issuer has withdrawn the key since."""
    issuer = Issuer("good", "stolen")
    verifier = Verifier(issuer.fetch, pause_seconds=0)
    theirs = issuer.sign("stolen")
    await verifier.verify(theirs)
    del issuer.keys["stolen"]
    return issuer, verifier, theirs


def part(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


async def test_a_token_of_ours_says_who_calls(verifier: Verifier, sign: Sign) -> None:
    token = sign(CUSTOMER, "guest")
    caller = await verifier.verify(token)
    assert (caller.customer_id, caller.role, caller.token) == (CUSTOMER, "guest", token)
    assert caller.is_guest


async def test_a_token_seen_before_is_not_verified_again(
    verifier: Verifier, sign: Sign, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = sign(CUSTOMER)
    caller = await verifier.verify(token)
    monkeypatch.setattr(jwt, "decode", None)
    assert await verifier.verify(token) is caller


async def test_a_token_made_in_this_process_is_not_verified_at_all() -> None:
    issuer = Issuer("k")
    verifier = Verifier(issuer.fetch, pause_seconds=0)
    await verifier.verify(issuer.sign("k"))  # fetches the keys
    expires_at = int(clock.now().timestamp()) + 900
    ours = Caller(CUSTOMER, "guest", expires_at, "a token of ours")
    verifier.remember(ours)
    assert await verifier.verify(ours.token) is ours
    verifier.remember(replace(ours, expires_at=0))
    with pytest.raises(Unauthorized, match="expired"):
        await verifier.verify(ours.token)


async def test_a_withdrawn_key_stops_working_also_when_every_token_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, verifier, theirs = await withdrawn()
    await verifier.verify(theirs)  # the issuer gets no request each time
    monkeypatch.setattr(access_tokens, "KEYS_SECONDS_MAX", -1.0)
    with pytest.raises(Unauthorized):
        await verifier.verify(theirs)


async def test_an_expired_token_is_refused_cached_or_not(
    verifier: Verifier, sign: Sign, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unauthorized, match="expired"):
        await verifier.verify(sign(CUSTOMER, seconds=-1))
    token = sign(CUSTOMER, seconds=900)
    await verifier.verify(token)
    later = clock.now() + timedelta(seconds=901)
    monkeypatch.setattr(clock, "now", lambda: later)
    with pytest.raises(Unauthorized, match="expired"):
        await verifier.verify(token)


@pytest.mark.parametrize("signature", ["", "eA", part(b"x" * 64)])
@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "tests", "typ": "at+jwt"},
        {"alg": "None", "kid": "tests", "typ": "at+jwt"},
        {"alg": "ES256", "kid": "tests", "typ": "at+jwt"},
        {"alg": "ES256", "kid": ["tests"], "typ": "at+jwt"},
        {"alg": ["ES256"], "kid": "tests"},
        {"alg": "ES256", "kid": "tests", "crit": ["b64"], "b64": False},
        {"alg": "ES256"},
        [],
        None,
        "text",
        b"\xff\xfe",
        b"[" * 1000,
    ],
)
async def test_what_is_not_signed_by_our_key_is_refused(
    verifier: Verifier, header: object, signature: str
) -> None:
    claims = {"iss": "cinesync", "sub": str(CUSTOMER), "role": "manager", "exp": 2**40}
    with pytest.raises(Unauthorized):
        await verifier.verify(f"{part(header)}.{part(claims)}.{signature}")


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.é.é", "x" * 1999, "\x00"])
async def test_what_is_no_token_is_refused(verifier: Verifier, token: str) -> None:
    with pytest.raises(Unauthorized):
        await verifier.verify(token)


async def test_a_token_too_long_is_not_even_read(
    verifier: Verifier, sign: Sign, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jws, "extract_compact", None)
    with pytest.raises(Unauthorized, match="too long"):
        await verifier.verify("x" * 2001)


async def test_our_public_key_is_no_secret_to_sign_with(
    verifier: Verifier, signing_key: ECKey
) -> None:
    claims = {"iss": "cinesync", "sub": str(CUSTOMER), "role": "manager", "exp": 2**40}
    signed = (
        f"{part({'alg': 'HS256', 'kid': 'tests', 'typ': access_tokens.TOKEN_TYPE})}.{part(claims)}"
    )
    secret = signing_key.as_pem(private=False)
    seal = hmac.digest(secret, signed.encode(), hashlib.sha256)
    with pytest.raises(Unauthorized):
        await verifier.verify(f"{signed}.{part(seal)}")


async def test_another_kind_of_token_by_our_own_key_is_refused(
    verifier: Verifier, signing_key: ECKey
) -> None:
    claims = {"iss": "cinesync", "sub": str(CUSTOMER), "role": "manager", "exp": 2**40}
    for kind in ("JWT", "receipt+jwt"):
        header = {"alg": "ES256", "kid": "tests", "typ": kind}
        token = jwt.encode(header, claims, signing_key, algorithms=["ES256"])
        with pytest.raises(Unauthorized):
            await verifier.verify(token)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"iss": None},
        {"sub": None},
        {"sub": 5},
        {"sub": "nobody"},
        {"role": None},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("inf")},
    ],
)
async def test_claims_that_are_not_ours_are_refused(changes: dict[str, Any]) -> None:
    issuer = Issuer("k")
    with pytest.raises(Unauthorized):
        await Verifier(issuer.fetch).verify(issuer.sign("k", **changes))


async def test_while_old_keys_are_looked_at_again_one_waits_and_nobody_is_verified_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer = Issuer("k")
    verifier = Verifier(issuer.fetch, pause_seconds=0)
    token = issuer.sign("k")
    caller = await verifier.verify(token)
    monkeypatch.setattr(access_tokens, "KEYS_SECONDS_MAX", -1.0)
    monkeypatch.setattr(jwt, "decode", None)
    issuer.answers.clear()
    first = asyncio.create_task(verifier.verify(token))
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        assert await verifier.verify(token) is caller
    assert not first.done()
    issuer.answers.set()
    assert await first is caller
    assert issuer.requests == 2


async def test_a_new_key_is_fetched_when_a_token_names_it() -> None:
    issuer = Issuer("old")
    verifier = Verifier(issuer.fetch, pause_seconds=0)
    await verifier.verify(issuer.sign("old"))
    issuer.keys |= Issuer("new").keys
    assert (await verifier.verify(issuer.sign("new"))).customer_id == CUSTOMER


async def test_made_up_key_ids_do_not_hammer_the_issuer() -> None:
    issuer = Issuer("k")
    verifier = Verifier(issuer.fetch, pause_seconds=3600)
    forged = [Issuer(f"made up {n}").sign(f"made up {n}") for n in range(20)]
    answers = await asyncio.gather(*(verifier.verify(t) for t in forged), return_exceptions=True)
    assert all(isinstance(answer, Unauthorized) for answer in answers)
    assert issuer.requests == 1


async def test_without_the_pause_each_made_up_key_id_would_ask_the_issuer() -> None:
    issuer = Issuer("k")
    verifier = Verifier(issuer.fetch, pause_seconds=0)
    await verifier.verify(issuer.sign("k"))
    for n in range(5):
        with pytest.raises(Unauthorized):
            await verifier.verify(Issuer(f"made up {n}").sign(f"made up {n}"))
    assert issuer.requests == 1 + 5


async def test_a_withdrawn_key_stops_working_cached_tokens_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer, verifier, theirs = await withdrawn()
    monkeypatch.setattr(access_tokens, "KEYS_SECONDS_MAX", -1.0)
    await verifier.verify(issuer.sign("good"))
    with pytest.raises(Unauthorized):
        await verifier.verify(theirs)


@pytest.mark.parametrize(
    "failure",
    [NoResponse("away"), OSError("gone"), ValueError("no JSON"), KeyError("keys")],
)
async def test_while_the_issuer_is_away_nobody_is_told_that_a_good_token_is_bad(
    failure: Exception,
) -> None:
    issuer = Issuer("k")
    issuer.failure = failure
    verifier = Verifier(issuer.fetch, pause_seconds=3600)
    for _ in range(2):
        with pytest.raises(JwksUnavailable) as caught:
            await verifier.verify(issuer.sign("k"))
    assert caught.value.members == {"retry_after_seconds": 2}
    assert issuer.requests == 1, "an outage is not made worse by asking for each request"


async def test_known_keys_go_on_working_while_the_issuer_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer = Issuer("k")
    verifier = Verifier(issuer.fetch, pause_seconds=0)
    await verifier.verify(issuer.sign("k"))
    issuer.failure = NoResponse("away")
    monkeypatch.setattr(access_tokens, "KEYS_SECONDS_MAX", -1.0)
    assert (await verifier.verify(issuer.sign("k", role="staff"))).customer_id == CUSTOMER
    assert issuer.requests == 2


async def test_keys_of_other_kinds_do_not_spoil_ours() -> None:
    issuer = Issuer("k")
    issuer.foreign = [
        RSAKey.generate_key(2048, {"kid": "rsa"}).as_dict(private=False),
        ECKey.generate_key("P-384", {"kid": "p384"}).as_dict(private=False),
        {"kty": "unheard of", "kid": "x"},
    ]
    assert (await Verifier(issuer.fetch).verify(issuer.sign("k"))).customer_id == CUSTOMER


async def test_the_cache_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_tokens, "CACHE_MAX", 2)
    issuer = Issuer("k")
    verifier = Verifier(issuer.fetch)
    signed = [issuer.sign("k", exp=2**40 + n) for n in range(3)]
    for token in signed:
        await verifier.verify(token)
    assert list(verifier._cache) == signed[1:]


class Auth(HttpClient):
    """Answers as the auth service does, without a network."""

    def __init__(self, status: int, keys: object) -> None:
        self.response = HttpResponse(status, json.dumps({"keys": keys}).encode())

    async def call(self, method: str, path: str, **_: object) -> HttpResponse:
        """The one request there is."""
        assert (method, path) == ("GET", "/api/auth/.well-known/jwks.json")
        return self.response


async def test_keys_come_over_http() -> None:
    issuer = Issuer("k")
    verifier = Verifier(jwks_over_http(Auth(200, [issuer.keys["k"].as_dict(private=False)])))
    assert (await verifier.verify(issuer.sign("k"))).customer_id == CUSTOMER


async def test_an_error_of_the_issuer_is_no_empty_list_of_keys() -> None:
    verifier = Verifier(jwks_over_http(Auth(502, [])))
    with pytest.raises(JwksUnavailable):
        await verifier.verify(Issuer("k").sign("k"))


def test_a_role_opens_what_it_may_and_nothing_else() -> None:
    manager = Caller(CUSTOMER, "manager", 0, "")
    require(manager, "staff", "manager")
    with pytest.raises(Forbidden, match="auditor"):
        require(manager, "auditor")
