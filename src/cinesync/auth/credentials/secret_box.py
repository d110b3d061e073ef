"""What SECRET_KEY protects: private keys at rest, refresh tokens, devices, e-mails in logs."""

import base64
import hmac
import os
from dataclasses import dataclass
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cinesync.chassis.ids import id_of

NONCE_BYTES = 12
MAC_BYTES = 32
ID_BYTES = 16
GENERATION_BYTES = 8
TOKEN_LENGTH = 75  # base64url of the three parts, unpadded


class NotDecryptable(Exception):
    """Encrypted under another SECRET_KEY or label, or changed since."""


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A token of a session; a higher `generation` replaces all lower ones."""

    session_id: UUID
    generation: int


@dataclass(frozen=True, slots=True)
class Device:
    """A browser in which an account's owner has signed in. `since_seconds` is Unix time."""

    device_id: UUID
    since_seconds: int


class SecretBox:
    """Keys derived from one secret (RFC 5869), one for each purpose."""

    def __init__(self, secret_key: str) -> None:
        secret = secret_key.encode()
        self._seal = AESGCM(_derive(secret, b"cinesync auth 1: seal signing keys"))
        self._refresh_key = _derive(secret, b"cinesync auth 1: refresh tokens")
        self._account_key = _derive(secret, b"cinesync auth 1: account names in failures")
        self._device_key = _derive(secret, b"cinesync auth 1: known devices")
        self._email_key = _derive(secret, b"cinesync auth 1: e-mail addresses in tokens")

    def seal(self, plain: bytes, label: str) -> bytes:
        """Encrypt with AES-256-GCM; the nonce comes first, `label` is authenticated."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._seal.encrypt(nonce, plain, label.encode())

    def open(self, sealed: bytes, label: str) -> bytes:
        """Decrypt. Raises NotDecryptable."""
        try:
            return self._seal.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], label.encode())
        except (InvalidTag, ValueError) as error:
            raise NotDecryptable(label) from error

    def refresh_text(self, token: RefreshToken) -> str:
        """The token as a cookie. One token has one text; the database has no copy of it."""
        body = token.session_id.bytes + token.generation.to_bytes(GENERATION_BYTES)
        return base64.urlsafe_b64encode(body + self._refresh_mac(body)).rstrip(b"=").decode()

    def read_refresh(self, text: str) -> RefreshToken | None:
        """None: this secret did not make it."""
        if len(text) != TOKEN_LENGTH or not text.isascii():
            return None
        try:
            raw = base64.b64decode(text + "=", altchars=b"-_", validate=True)
        except ValueError:
            return None
        body, mac = raw[:-MAC_BYTES], raw[-MAC_BYTES:]
        if not hmac.compare_digest(mac, self._refresh_mac(body)):
            return None
        return RefreshToken(UUID(bytes=body[:ID_BYTES]), int.from_bytes(body[ID_BYTES:]))

    def device_text(self, account_key: str, device: Device) -> str:
        """A known device as a cookie, valid for one account."""
        body = f"{device.device_id.hex}.{device.since_seconds}"
        return f"{body}.{self._device_mac(account_key, body)}"

    def read_device(self, text: str, account_key: str) -> Device | None:
        """None: this secret did not make it, or not for this account."""
        body, _, mac = text.rpartition(".")
        if not text.isascii() or not hmac.compare_digest(mac, self._device_mac(account_key, body)):
            return None
        device_id, _, since = body.partition(".")
        return Device(UUID(hex=device_id), int(since))

    def account_key(self, email_norm: str) -> str:
        """Replaces the e-mail in stored failures: people type passwords into the wrong field."""
        return hmac.digest(self._account_key, email_norm.encode(), "sha256")[:ID_BYTES].hex()

    def email_key(self, email_norm: str) -> UUID:
        """Replaces the e-mail in access tokens; other services count by it."""
        return id_of(hmac.digest(self._email_key, email_norm.encode(), "sha256")[:ID_BYTES])

    def _device_mac(self, account_key: str, body: str) -> str:
        return hmac.digest(self._device_key, f"{account_key}.{body}".encode(), "sha256").hex()

    def _refresh_mac(self, body: bytes) -> bytes:
        return hmac.digest(self._refresh_key, body, "sha256")


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)
