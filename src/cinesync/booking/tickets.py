"""Tickets: signed tokens that a scanner verifies with a public key and no network."""

from collections.abc import Sequence
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from joserfc import jwt
from joserfc.jwk import ECKey

from cinesync.booking.model import Booking, Show

ALGORITHM = "ES256"
TOKEN_TYPE = "ticket+jwt"  # noqa: S105 a media type

# The order of P-256 (NIST SP 800-186, section 3.2.1.3), and 64 bits more than it has, so that
# the remainder is evenly spread (FIPS 186-5, appendix A.2.1).
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SEED_BYTES = 40


class TicketSigner:
    """Signs with a key derived from `secret_key`; keeps the public keys of earlier secrets.

    Derived rather than stored: every process has the same key from the first start, there is
    nothing to migrate, and a stolen database forges no ticket.
    """

    def __init__(self, secret_key: str, earlier_secret_keys: Sequence[str] = ()) -> None:
        self._key = _derive(secret_key)
        self._keys = [self._key, *(_derive(secret) for secret in earlier_secret_keys)]

    def sign(self, booking: Booking, show: Show) -> str:
        """A JWT (RFC 7519) about who may sit where; short, because it becomes a QR code."""
        header = {"alg": ALGORITHM, "kid": self._key.kid, "typ": TOKEN_TYPE}
        claims = {
            "iss": "cinesync",
            "sub": str(booking.booking_id),
            "show_id": str(show.show_id),
            "theater_id": str(show.theater_id),
            "auditorium": show.auditorium_name,
            "starts_at": int(show.starts_at.timestamp()),
            "seats": booking.seat_names,
        }
        return jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}


def _derive(secret_key: str) -> ECKey:
    hkdf = HKDF(SHA256(), SEED_BYTES, salt=None, info=b"cinesync ticket ES256 v1")
    seed = int.from_bytes(hkdf.derive(secret_key.encode()), "big")
    private = ec.derive_private_key(seed % (P256_ORDER - 1) + 1, ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key = ECKey.import_key(pem, {"use": "sig", "alg": ALGORITHM})
    key.ensure_kid()
    return key
