"""Access tokens and the keys that sign them, and attacks on both."""

import asyncio
import base64
import hashlib
import hmac
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from cinesync.auth.credentials.secret_box import NotDecryptable, SecretBox
from cinesync.auth.credentials.signing_keys import NoSigningKey, SigningKeys
from cinesync.auth.model import KeyRules
from cinesync.chassis import clock
from cinesync.chassis.http.security.access_tokens import Verifier
from cinesync.chassis.problems import Unauthorized
from tests.integration.auth.conftest import JWKS, SECRET, Auth, OpenAuth

RULES = KeyRules(
    lifetime=timedelta(days=30), ahead=timedelta(days=3), token_lifetime_max=timedelta(hours=2)
)
MINUTE = timedelta(minutes=1)


async def _token(auth: Auth) -> str:
    await auth.register("ada@example.org")
    token: str = (await auth.login("ada@example.org")).json()["access_token"]
    return token


def _part(token: str, index: int) -> dict[str, Any]:
    raw = token.split(".")[index]
    part: dict[str, Any] = json.loads(base64.urlsafe_b64decode(raw + "=" * (-len(raw) % 4)))
    return part


async def _shift_keys(auth: Auth, days: int) -> None:
    await auth.query(
        "UPDATE signing_keys SET signs_from = signs_from - CAST(:shift AS interval),"
        " signs_until = signs_until - CAST(:shift AS interval),"
        " verifies_until = verifies_until - CAST(:shift AS interval)",
        shift=timedelta(days=days),
    )


async def test_a_token_has_the_claims_that_services_need_and_no_more(auth: Auth) -> None:
    token = await _token(auth)
    header, claims = _part(token, 0), _part(token, 1)
    assert (header["alg"], header["typ"]) == ("ES256", "at+jwt")
    assert set(claims) == {
        "iss",
        "sub",
        "sid",
        "role",
        "email_key",
        "iat",
        "exp",
        "jti",
    }
    assert claims["iss"] == "cinesync"
    assert claims["exp"] - claims["iat"] == 900
    again = (await auth.login("ada@example.org")).json()["access_token"]
    assert _part(again, 1)["jti"] != claims["jti"]


async def test_a_token_is_not_verified_in_the_process_that_signed_it(
    auth: Auth, open_auth: OpenAuth, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await open_auth(database_of=auth)
    first = await _token(auth)
    for one in (auth, other):
        await one.verifier.verify(first)  # fetches the keys
    token = (await auth.login("ada@example.org")).json()["access_token"]
    there = await other.verifier.verify(token)
    monkeypatch.setattr(Verifier, "_verify", None)
    assert await auth.verifier.verify(token) == there


async def test_the_published_keys_are_public_and_named(auth: Auth) -> None:
    token = await _token(auth)
    answer = await auth.browser.get(JWKS)
    assert answer.headers["cache-control"] == "max-age=300, public"
    [key] = answer.json()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
    assert key["kid"] == _part(token, 0)["kid"]


def _join(*parts: dict[str, Any]) -> str:
    raw = (json.dumps(part).encode() for part in parts)
    return ".".join(_text(part) for part in raw)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _hs256(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """Signed here, because libraries refuse a public key as a shared secret."""
    signed = _join({**header, "alg": "HS256"}, claims)
    return f"{signed}.{_text(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _pem(jwk: dict[str, Any]) -> bytes:
    pem: bytes = ECKey.import_key(jwk).as_pem(private=False)
    return pem


async def test_no_forged_token_passes(auth: Auth) -> None:
    token = await _token(auth)
    header, claims = _part(token, 0), {**_part(token, 1), "role": "manager"}
    [public] = (await auth.browser.get(JWKS)).json()["keys"]
    own = ECKey.generate_key("P-256")
    own_jwk = own.as_dict(private=False)
    head, body, signature = token.split(".")
    unsigned = _join({**header, "alg": "none"}, claims)
    forged = {
        "alg none": f"{unsigned}.",
        "alg none, old signature": f"{unsigned}.{signature}",
        "hs256 with the public key": _hs256(header, claims, _pem(public)),
        "hs256 with the public jwk": _hs256(header, claims, json.dumps(public).encode()),
        "own key, our kid": jwt.encode(header, claims, own, algorithms=["ES256"]),
        "own key inside": jwt.encode({**header, "jwk": own_jwk}, claims, own, algorithms=["ES256"]),
        "unknown kid": jwt.encode({**header, "kid": "x"}, claims, own, algorithms=["ES256"]),
        "other claims": f"{head}.{unsigned.split('.')[1]}.{signature}",
        "no signature": f"{head}.{body}.",
        "zero signature": f"{head}.{body}.{_text(bytes(64))}",
        "nothing": "",
    }
    for name, bad in forged.items():
        assert (await auth.me(bad)).status_code == 401, name
    assert (await auth.me(token)).status_code == 200


async def test_an_expired_token_is_refused(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    token = await _token(auth)
    assert (await auth.me(token)).status_code == 200
    later = clock.now() + timedelta(minutes=15)
    monkeypatch.setattr(clock, "now", lambda: later)
    with pytest.raises(Unauthorized, match="expired"):
        await auth.verifier.verify(token)


async def test_processes_that_start_at_once_agree_on_one_key(open_auth: OpenAuth) -> None:
    first = await open_auth()
    processes = [first, *[await open_auth(database_of=first) for _ in range(4)]]
    answers = await asyncio.gather(*(process.browser.get(JWKS) for process in processes))
    assert len({answer.text for answer in answers}) == 1
    assert await first.count("signing_keys") == 1


async def test_a_token_of_one_process_passes_in_another_and_after_a_restart(
    open_auth: OpenAuth,
) -> None:
    here = await open_auth()
    token = await _token(here)
    there = await open_auth(database_of=here)
    assert (await there.me(token)).status_code == 200


async def test_a_key_is_published_before_it_signs_and_after_it_signed(auth: Auth) -> None:
    token = await _token(auth)
    old_kid = _part(token, 0)["kid"]
    await _shift_keys(auth, 28)
    await auth.signing_keys.refresh()
    assert len((await auth.browser.get(JWKS)).json()["keys"]) == 2
    still_old = (await auth.login("ada@example.org")).json()["access_token"]
    assert _part(still_old, 0)["kid"] == old_kid
    await _shift_keys(auth, 2)
    await auth.query(
        "UPDATE signing_keys SET signs_from = now() - interval '1 minute' WHERE number = 2"
    )
    await auth.signing_keys.refresh()
    new = (await auth.login("ada@example.org")).json()["access_token"]
    assert _part(new, 0)["kid"] != old_kid
    assert (await auth.me(token)).status_code == 200
    assert (await auth.me(new)).status_code == 200


async def test_a_key_is_deleted_when_its_last_token_has_expired(auth: Auth) -> None:
    token = await _token(auth)
    await _shift_keys(auth, 40)
    await auth.signing_keys.refresh()
    [key] = (await auth.browser.get(JWKS)).json()["keys"]
    assert key["kid"] != _part(token, 0)["kid"]
    assert await auth.count("signing_keys") == 1


async def test_the_background_loop_makes_a_key(auth: Auth) -> None:
    loop = asyncio.create_task(auth.signing_keys.run())
    while not await auth.count("signing_keys"):  # noqa: ASYNC110 the database has no event to wait for
        await asyncio.sleep(0.02)
    loop.cancel()


async def test_processes_that_rotate_at_once_agree_on_the_next_key(open_auth: OpenAuth) -> None:
    first = await open_auth()
    processes = [first, *[await open_auth(database_of=first) for _ in range(3)]]
    await first.browser.get(JWKS)
    await _shift_keys(first, 28)
    await asyncio.gather(*(process.signing_keys.refresh() for process in processes))
    assert await first.count("signing_keys") == 2


async def test_with_another_secret_the_old_keys_verify_and_a_new_one_signs(
    open_auth: OpenAuth,
) -> None:
    before = await open_auth()
    old = await _token(before)
    after = await open_auth(
        database_of=before, SECRET_KEY="quite another secret, as long as it has to be"
    )
    new = (await after.login("ada@example.org")).json()["access_token"]
    assert _part(new, 0)["kid"] != _part(old, 0)["kid"]
    assert (await after.me(old)).status_code == 200
    assert (await after.me(new)).status_code == 200


async def test_private_keys_are_encrypted_in_the_database(auth: Auth) -> None:
    await auth.browser.get(JWKS)
    [row] = await auth.query("SELECT public_jwk, sealed_private FROM signing_keys")
    assert b'"d"' not in row.sealed_private
    private = json.loads(SecretBox(SECRET).open(row.sealed_private, row.public_jwk))
    assert "d" in private


def test_decryption_needs_the_secret_the_label_and_unchanged_bytes() -> None:
    secret_box = SecretBox(SECRET)
    sealed = secret_box.seal(b"private", "label")
    assert secret_box.open(sealed, "label") == b"private"
    flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
    for other, data, label in (
        (SecretBox(SECRET + "!"), sealed, "label"),
        (secret_box, sealed, "other"),
        (secret_box, flipped, "label"),
        (secret_box, b"", "label"),
    ):
        with pytest.raises(NotDecryptable):
            other.open(data, label)


async def test_a_process_without_a_current_key_does_not_sign(
    auth: Auth,
) -> None:
    signing_keys = SigningKeys(auth.db, SecretBox(SECRET), RULES)
    await signing_keys.refresh()
    customer_id = clock.new_id()
    signed = await signing_keys.sign(customer_id, "customer", MINUTE, UUID(int=9), UUID(int=8))
    assert (signed.customer_id, signed.role) == (customer_id, "customer")
    signing_keys._own = [key for key in signing_keys._own if key.signs_until < key.signs_from]
    with pytest.raises(NoSigningKey):
        await signing_keys.sign(customer_id, "customer", MINUTE, UUID(int=9), UUID(int=8))


async def test_tokens_of_one_email_have_one_email_key_that_does_not_reveal_it(auth: Auth) -> None:
    await auth.register("ada@example.org")
    answers = [
        await auth.login("ada@example.org"),
        await auth.post("refresh"),
        await auth.post("guest", {"email": "ADA@Example.org "}),
    ]
    signed = [await auth.verifier.verify(answer.json()["access_token"]) for answer in answers]
    [key] = {caller.email_key for caller in signed}
    other = await auth.post("guest", {"email": "grace@example.org"})
    assert key is not None
    assert key != (await auth.verifier.verify(other.json()["access_token"])).email_key
    # As a process reads it that did not sign the token.
    elsewhere = await auth.verifier._verify(signed[0].token)
    assert elsewhere.email_key == key
    assert key != UUID(bytes=hashlib.sha256(b"ada@example.org").digest()[:16])
