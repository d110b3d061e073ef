"""Codes that are mailed: random, and kept as hashes only."""

import base64
import hashlib
import os

CODE_BYTES = 32
CODE_LENGTH_MAX = 100


def new_code() -> str:
    """256 bits, in letters that a URL takes as they are."""
    return base64.urlsafe_b64encode(os.urandom(CODE_BYTES)).rstrip(b"=").decode()


def hash_code(code: str) -> bytes:
    """How a code is kept. It is random: a plain hash cannot be guessed back."""
    return hashlib.sha256(code[:CODE_LENGTH_MAX].encode()).digest()
