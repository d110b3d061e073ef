"""Entity tags and If-None-Match (RFC 9110 sections 8.8.3 and 13.1.2), parsed by werkzeug."""

from functools import lru_cache
from hashlib import blake2b

from werkzeug.http import parse_etags

HEADERS_CACHED_MAX = 1_000
HEADER_CHARS_MAX = 200  # of a cached one: browsers send one tag of 30 characters

# Clients that poll send the same few tags: a parsed one answers in half the time of a split.
_parse_cached = lru_cache(HEADERS_CACHED_MAX)(parse_etags)


def etag_of(body: bytes) -> str:
    """A strong tag: the same for the same bytes."""
    return f'"{blake2b(body, digest_size=12).hexdigest()}"'


def weak_etag(etag: str) -> bytes:
    """The weak tag of a representation that is sent in several content encodings."""
    return f"W/{etag}".encode()


def matches(etag: str, if_none_match: str) -> bool:
    """Whether the client has this representation: by weak comparison, or because it sent `*`."""
    if not if_none_match:
        return False
    parse = _parse_cached if len(if_none_match) <= HEADER_CHARS_MAX else parse_etags
    return parse(if_none_match).contains_weak(etag.strip('"'))
