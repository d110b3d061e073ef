"""Codes of mailed links: random, and stored only as hashes."""

import base64
import hashlib
import os

CODE_BYTES = 32
CODE_LENGTH_MAX = 100


def new_code() -> str:
    """256 random bits, in characters that a URL need not escape."""
    return base64.urlsafe_b64encode(os.urandom(CODE_BYTES)).rstrip(b"=").decode()


def hash_code(code: str) -> bytes:
    """The stored form. A code is random, so a plain SHA-256 cannot be reversed by guessing."""
    return hashlib.sha256(code[:CODE_LENGTH_MAX].encode()).digest()
