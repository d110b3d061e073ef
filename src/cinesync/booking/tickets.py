"""Tickets: signed tokens that a scanner verifies with a public key and no network.

A token is a JWT (RFC 7519): `jti` is the ticket's id, `iat` and `exp` bound its validity, `sub` is
the booking and `seats` are the seats that it admits. Each seat of a booking is one ticket. Its id
is derived from booking and seat, so that only revoked tickets are stored (ADR 20). A token for all
seats of a booking stands for the ticket of each.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet

from cinesync.booking.model import Booking, Show

ALGORITHM = "ES256"
ISSUER = "cinesync"
TOKEN_TYPE = "ticket+jwt"  # noqa: S105 a media type
REVOCATIONS_TYPE = "revocations+jwt"
# A show may end late, and a scanner's clock may be wrong.
VALIDITY_MARGIN = timedelta(hours=6)

# The order of P-256 (NIST SP 800-186, section 3.2.1.3), and 64 bits more than it has, so that
# the remainder is evenly spread (FIPS 186-5, appendix A.2.1).
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
SEED_BYTES = 40


class InvalidTicket(ValueError):
    """The text is no ticket that this shop signed."""


class TicketId(NamedTuple):
    """A ticket: of one seat of a booking, or of all its seats."""

    booking_id: UUID
    seat: str | None = None

    def __str__(self) -> str:
        head = urlsafe_b64encode(self.booking_id.bytes).decode().rstrip("=")
        return head if self.seat is None else f"{head}.{self.seat}"


def parse_ticket_id(ticket_id: str) -> TicketId:
    """Raises InvalidTicket."""
    head, dot, seat = ticket_id.partition(".")
    try:
        raw = urlsafe_b64decode(head + "==")
        return TicketId(UUID(bytes=raw), seat if dot else None)
    except ValueError as error:
        raise InvalidTicket from error


class TicketClaims(NamedTuple):
    """The claims of a token that was signed here. Whether they still hold, the booking decides."""

    booking_id: UUID
    show_id: UUID
    seats: Sequence[str]


class TicketSigner:
    """Signs with a key derived from `secret_key`, and publishes the keys of earlier secrets too.

    The key is derived, not stored: every process has the same key from the first start, nothing is
    migrated, and a stolen database forges no ticket.
    """

    def __init__(self, secret_key: str, earlier_secret_keys: Sequence[str] = ()) -> None:
        self._key = _derive(secret_key)
        self._keys = [self._key, *(_derive(secret) for secret in earlier_secret_keys)]

    def sign(self, booking: Booking, show: Show, seat: str | None = None) -> str:
        """A ticket as a JWT; short, because it becomes a QR code."""
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "jti": str(TicketId(booking.booking_id, seat)),
            "sub": str(booking.booking_id),
            "iat": _seconds(booking.confirmed_at or booking.created_at),
            "exp": _seconds(show.ends_at + VALIDITY_MARGIN),
            "show_id": str(show.show_id),
            "theater_id": str(show.theater_id),
            "auditorium": show.auditorium_name,
            "starts_at": _seconds(show.starts_at),
            "seats": booking.seat_names if seat is None else [seat],
        }
        return self._signed(TOKEN_TYPE, claims)

    def sign_revocations(self, claims: Mapping[str, Any]) -> str:
        """A list of revoked tickets for scanners without network."""
        return self._signed(REVOCATIONS_TYPE, {"iss": ISSUER, **claims})

    def _signed(self, media_type: str, claims: dict[str, Any]) -> str:
        header = {"alg": ALGORITHM, "kid": self._key.kid, "typ": media_type}
        return jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])

    def read(self, token: str) -> TicketClaims:
        """The claims of a ticket, also of one with an earlier secret or without an id.

        Its `exp` is ignored: the show may have moved since the ticket was printed. Raises
        InvalidTicket.
        """
        try:
            decoded = jwt.decode(token, KeySet([*self._keys]), algorithms=[ALGORITHM])
            claims = decoded.claims
            if decoded.header.get("typ") != TOKEN_TYPE or claims["iss"] != ISSUER:
                raise InvalidTicket
            return TicketClaims(
                UUID(claims["sub"]), UUID(claims["show_id"]), [str(s) for s in claims["seats"]]
            )
        except (JoseError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise InvalidTicket from error

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}


def _seconds(at: datetime) -> int:
    return int(at.astimezone(UTC).timestamp())


def _derive(secret_key: str) -> ECKey:
    hkdf = HKDF(SHA256(), SEED_BYTES, salt=None, info=b"cinesync ticket ES256 v1")
    seed = int.from_bytes(hkdf.derive(secret_key.encode()), "big")
    private = ec.derive_private_key(seed % (P256_ORDER - 1) + 1, ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key = ECKey.import_key(pem, {"use": "sig", "alg": ALGORITHM})
    key.ensure_kid()
    return key
