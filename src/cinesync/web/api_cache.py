"""A cache of API responses that are the same for all visitors, shared by all of them.

It follows the part of RFC 9111 that our APIs use. While `max-age` lasts, a response is used
without a request; afterwards a request with its ETag asks whether it changed.
"""

import threading
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Generic, TypeVar

import httpx
from cachetools import LRUCache
from werkzeug.datastructures import ResponseCacheControl
from werkzeug.http import parse_cache_control_header

from cinesync.chassis import clock

T = TypeVar("T")

CACHE_BYTES_MAX = 16 * 1024 * 1024  # as JSON


@dataclass(frozen=True, slots=True)
class CachedResponse(Generic[T]):
    """A decoded response; `fresh_until_seconds` is a time of the monotonic clock."""

    value: T
    etag: str
    fresh_until_seconds: float
    size: int


class ApiCache:
    """For requests without an access token only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._responses: LRUCache[Hashable, CachedResponse[Any]] = LRUCache(
            CACHE_BYTES_MAX, getsizeof=lambda response: response.size
        )

    def get(
        self,
        key: Hashable,
        send: Callable[[Mapping[str, str]], httpx.Response],
        decode: Callable[[httpx.Response], T],
    ) -> T:
        """The decoded response, from the cache or the API.

        `send` takes headers; its response to If-None-Match may be a 304. Raises what `send` and
        `decode` raise.
        """
        sent_seconds = clock.monotonic_seconds()
        with self._lock:
            cached: CachedResponse[T] | None = self._responses.get(key)
        if cached and sent_seconds < cached.fresh_until_seconds:
            return cached.value
        response = send({"If-None-Match": cached.etag} if cached and cached.etag else {})
        if cached and response.status_code == HTTPStatus.NOT_MODIFIED:
            value, size = cached.value, cached.size
        else:
            value, size = decode(response), len(response.content)
        etag, max_age = response.headers.get("ETag", ""), _max_age_seconds(response)
        if etag or max_age:
            entry = CachedResponse(value, etag, sent_seconds + max_age, size)
            with self._lock:
                self._responses[key] = entry
        return value


def _max_age_seconds(response: httpx.Response) -> int:
    control = parse_cache_control_header(
        response.headers.get("Cache-Control"), cls=ResponseCacheControl
    )
    return 0 if control.no_cache is not None else control.max_age or 0
