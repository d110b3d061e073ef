"""Bodies that many are given, compressed once for all of them (RFC 9110 section 8.4).

Only what everybody may read: the length of something compressed tells of the secrets in it when
others can put words beside them (BREACH).
"""

import gzip
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

GZIP_LEVEL = 4  # a seat map of 56 kB becomes 4 in 0.6 ms; half of what is left would take 5 ms
HEADERS_MAX = 1_000
HEADER_CHARS_MAX = 200  # browsers send twenty; a server may let through hundreds of thousands

VARY = (b"vary", b"accept-encoding")
GZIPPED = (b"content-encoding", b"gzip")


@dataclass(slots=True)
class Shared:
    """Bytes as they are, and compressed as soon as somebody asks who can read that."""

    plain: bytes
    _gzipped: bytes = field(default=b"", init=False)

    def coded(self, accept_encoding: str) -> tuple[bytes, Sequence[tuple[bytes, bytes]]]:
        """What such a client gets, and the headers that tell which it is."""
        if len(accept_encoding) > HEADER_CHARS_MAX or not accepts_gzip(accept_encoding):
            return self.plain, [VARY]
        if not self._gzipped:
            self._gzipped = gzip.compress(self.plain, GZIP_LEVEL, mtime=0)
        return self._gzipped, [VARY, GZIPPED]


@lru_cache(HEADERS_MAX)
def accepts_gzip(accept_encoding: str) -> bool:
    """Whether this Accept-Encoding (RFC 9110 section 12.5.3) names gzip, or anything at all."""
    weights = dict(map(_weight, accept_encoding.lower().split(",")))
    return weights.get("gzip", weights.get("*", 0.0)) > 0


def _weight(part: str) -> tuple[str, float]:
    """A coding and how much it is wanted; one that cannot be read is not wanted."""
    coding, _, weight = part.partition(";")
    try:
        return coding.strip(), float(weight.strip().removeprefix("q=") or 1)
    except ValueError:
        return coding.strip(), 0.0
