"""ECDSA on P-256 with SHA-256; signatures are 64 raw bytes, as WebCrypto verifies them.

Nonces are deterministic (RFC 6979), and s is the lower of its two values, so that a signature has
one encoding. Still, never use signature bytes as an identifier.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
PUBLIC_KEY_BYTES: Final = 65
SIGNATURE_BYTES: Final = 64
_SIGNING: Final = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
_CHECKING: Final = ec.ECDSA(hashes.SHA256())

PrivateKey = ec.EllipticCurvePrivateKey


def generate() -> PrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def public_bytes(key: PrivateKey) -> bytes:
    """The uncompressed point: what WebCrypto imports as "raw"."""
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def to_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def from_pem(pem: bytes) -> PrivateKey:
    """Raises ValueError for anything but a P-256 key."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, PrivateKey) or key.curve.name != "secp256r1":
        raise ValueError("not a P-256 private key")
    return key


def sign(key: PrivateKey, payload: bytes) -> bytes:
    r, s = utils.decode_dss_signature(key.sign(payload, _SIGNING))
    return r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")


def verify(public_key: bytes, payload: bytes, signature: bytes) -> bool:
    """False also for a wrong length, the upper s, and a key that is not on the curve."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    point = _point(public_key)
    if point is None or s > ORDER // 2:
        return False
    try:
        point.verify(utils.encode_dss_signature(r, s), payload, _CHECKING)
    except InvalidSignature:
        return False
    return True


@lru_cache(maxsize=1024)
def _point(public_key: bytes) -> ec.EllipticCurvePublicKey | None:
    if len(public_key) != PUBLIC_KEY_BYTES:
        return None
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public_key)
    except ValueError:
        return None


class KeyRing:
    """The `Keys` of a replica or a client: signs with its own keys, verifies with any.

    find: returns the private half of a public key that is not in the ring; called once per key.
    """

    def __init__(
        self,
        private_keys: Iterable[PrivateKey] = (),
        find: Callable[[bytes], PrivateKey] | None = None,
    ) -> None:
        self._private = {public_bytes(key): key for key in private_keys}
        self._find = find

    def sign(self, public_key: bytes, payload: bytes) -> bytes:
        if self._find is not None and public_key not in self._private:
            self._private[public_key] = self._find(public_key)
        return sign(self._private[public_key], payload)

    def verify(self, public_key: bytes, payload: bytes, signature: bytes) -> bool:
        return verify(public_key, payload, signature)
