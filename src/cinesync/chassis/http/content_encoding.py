"""Bodies that many clients read, compressed once for all of them (RFC 9110 section 8.4).

Only public bodies: the compressed length of a body that mixes secrets with text of an attacker
reveals the secrets (BREACH).
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from werkzeug.http import parse_accept_header

GZIP_LEVEL = 4  # a seat map of 56 kB becomes 4 in 0.6 ms; half of what is left would take 5 ms
HEADERS_CACHED_MAX = 1_000
HEADER_CHARS_MAX = 200  # browsers send 20 characters; the server lets through 32,000

VARY = (b"vary", b"accept-encoding")
GZIPPED = (b"content-encoding", b"gzip")


@dataclass(slots=True)
class SharedBody:
    """A public body, compressed when the first client that accepts gzip reads it."""

    plain: bytes
    _gzipped: bytes = field(default=b"", init=False)

    def encoded(self, accept_encoding: str) -> tuple[bytes, Sequence[tuple[bytes, bytes]]]:
        """The body for such a client, and the headers that say how it is encoded."""
        if len(accept_encoding) > HEADER_CHARS_MAX or not accepts_gzip(accept_encoding):
            return self.plain, [VARY]
        if not self._gzipped:
            self._gzipped = gzip.compress(self.plain, GZIP_LEVEL, mtime=0)
        return self._gzipped, [VARY, GZIPPED]


@lru_cache(HEADERS_CACHED_MAX)  # parsing takes 5 µs, and there are few such headers
def accepts_gzip(accept_encoding: str) -> bool:
    """Whether this Accept-Encoding (RFC 9110 section 12.5.3) names gzip, or `*`."""
    return parse_accept_header(accept_encoding.lower()).quality("gzip") > 0
