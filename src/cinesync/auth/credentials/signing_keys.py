"""The keys that sign access tokens: shared by all processes, rotated, published before use."""

import asyncio
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from joserfc import jwt
from joserfc.jwk import ECKey

from cinesync.auth.credentials import key_store
from cinesync.auth.credentials.secret_box import NotDecryptable, SecretBox
from cinesync.auth.model import AccountRole, KeyRules, KeyWindow, plan_key, signing_key
from cinesync.chassis import background, clock, telemetry
from cinesync.chassis.database import Database, Transaction, database_now
from cinesync.chassis.http.security.access_tokens import ALGORITHM, ISSUER, TOKEN_TYPE, Caller
from cinesync.chassis.problems import Unavailable

log = telemetry.get_logger(__name__)

CURVE = "P-256"
REFRESH_SECONDS = 60.0


class NoSigningKey(Unavailable):
    """We cannot sign anybody in right now; please try again in a few seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKey(KeyWindow):
    """A key that this process can sign with."""

    key_id: str
    key: ECKey


class SigningKeys:
    """This process's copy of the keys, refreshed every minute."""

    def __init__(self, db: Database, secret_box: SecretBox, rules: KeyRules) -> None:
        self._db = db
        self._secret_box = secret_box
        self._rules = rules
        self._own: list[OwnKey] = []
        self._jwks: dict[str, Any] | None = None
        self._loading = asyncio.Lock()

    async def run(self) -> None:
        """Read the keys again and again, and make the next one in time, until cancelled."""
        while True:
            await self.refresh()
            background.succeeded()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Read the keys; make one if it is due."""
        rows, now = await self._db.read(_load)
        own = self._open(rows)
        if plan_key(rows, own, now, self._rules) is not None:
            rows = await self._db.run(self._make_next)
            own = self._open(rows)
        self._own = own
        self._jwks = {"keys": [json.loads(row.public_jwk) for row in rows]}

    async def jwks(self) -> dict[str, Any]:
        """The public halves of all keys whose tokens can still be valid (RFC 7517)."""
        if self._jwks is None:
            await self._load_once()
        assert self._jwks is not None
        return self._jwks

    async def sign(
        self,
        customer_id: UUID,
        role: AccountRole | Literal["service"],
        lifetime: timedelta,
        email_key: UUID,
        session_id: UUID,
    ) -> Caller:
        """An access token (RFC 9068) and its claims. Raises NoSigningKey."""
        if self._jwks is None:
            await self._load_once()
        now = clock.now()
        own = signing_key(self._own, now)
        if own is None:
            raise NoSigningKey(retry_after_seconds=2)
        issued_at = int(now.timestamp())
        expires_at = int((now + lifetime).timestamp())
        claims = {
            "iss": ISSUER,
            "sub": str(customer_id),
            "role": role,
            "email_key": str(email_key),
            "sid": str(session_id),
            "iat": issued_at,
            "exp": expires_at,
            "jti": str(clock.new_id()),
        }
        header = {"alg": ALGORITHM, "kid": own.key_id, "typ": TOKEN_TYPE}
        token = jwt.encode(header, claims, own.key, algorithms=[ALGORITHM])
        return Caller(customer_id, role, expires_at, token, email_key, str(session_id), issued_at)

    async def _load_once(self) -> None:
        async with self._loading:
            if self._jwks is None:
                await self.refresh()

    def _open(self, rows: list[key_store.KeyRow]) -> list[OwnKey]:
        own = []
        for row in rows:
            try:
                private = self._secret_box.open(row.sealed_private, row.public_jwk)
            except NotDecryptable:
                log.warning("signing_key.sealed_by_another_secret", number=row.number)
                continue
            own.append(_own_key(row, ECKey.import_key(json.loads(private))))
        return own

    async def _make_next(self, tx: Transaction) -> list[key_store.KeyRow]:
        await key_store.delete_keys(tx)
        rows, now = await _load(tx)
        window = plan_key(rows, self._open(rows), now, self._rules)
        if window is None:
            return rows
        await key_store.insert_key(tx, self._seal(window, ECKey.generate_key(CURVE)))
        log.info("signing_key.made", number=window.number, signs_from=window.signs_from)
        return await key_store.list_keys(tx)

    def _seal(self, window: KeyWindow, key: ECKey) -> key_store.KeyRow:
        """The public half is the label: neither half can be replaced by another key's."""
        public = {
            **key.as_dict(private=False),
            "kid": key.thumbprint(),
            "use": "sig",
            "alg": ALGORITHM,
        }
        public_jwk = json.dumps(public, sort_keys=True)
        private = json.dumps(key.as_dict(private=True)).encode()
        return key_store.KeyRow(
            number=window.number,
            signs_from=window.signs_from,
            signs_until=window.signs_until,
            verifies_until=window.verifies_until,
            public_jwk=public_jwk,
            sealed_private=self._secret_box.seal(private, public_jwk),
        )


async def _load(tx: Transaction) -> tuple[list[key_store.KeyRow], datetime]:
    return await key_store.list_keys(tx), await database_now(tx)


def _own_key(row: key_store.KeyRow, key: ECKey) -> OwnKey:
    return OwnKey(
        number=row.number,
        signs_from=row.signs_from,
        signs_until=row.signs_until,
        verifies_until=row.verifies_until,
        key_id=key.thumbprint(),
        key=key,
    )
