"""What the APIs answer to everybody alike: decoded once, kept while fresh, then asked by ETag.

RFC 9111 as far as our own APIs speak it: `max-age` says how long nobody need ask again, the ETag
how to ask whether anything has changed since.
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

KEPT_BYTES_MAX = 16 * 1024 * 1024  # as JSON


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """An answer as decoded; `fresh_until_seconds` is by the monotonic clock."""

    value: T
    tag: str
    fresh_until_seconds: float
    size: int


class Answers:
    """All visitors share them: for questions that carry nobody's token."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: LRUCache[Hashable, Answer[Any]] = LRUCache(
            KEPT_BYTES_MAX, getsizeof=lambda answer: answer.size
        )

    def get(
        self,
        question: Hashable,
        ask: Callable[[Mapping[str, str]], httpx.Response],
        decode: Callable[[httpx.Response], T],
    ) -> T:
        """`ask` takes headers, and may return a 304 to If-None-Match. Raises what both raise."""
        asked_seconds = clock.monotonic_seconds()
        with self._lock:
            known: Answer[T] | None = self._kept.get(question)
        if known and asked_seconds < known.fresh_until_seconds:
            return known.value
        response = ask({"If-None-Match": known.tag} if known and known.tag else {})
        if known and response.status_code == HTTPStatus.NOT_MODIFIED:
            value, size = known.value, known.size
        else:
            value, size = decode(response), len(response.content)
        tag, max_age = response.headers.get("ETag", ""), _max_age_seconds(response)
        if tag or max_age:
            answer = Answer(value, tag, asked_seconds + max_age, size)
            with self._lock:
                self._kept[question] = answer
        return value


def _max_age_seconds(response: httpx.Response) -> int:
    said = parse_cache_control_header(
        response.headers.get("Cache-Control"), cls=ResponseCacheControl
    )
    return 0 if said.no_cache is not None else said.max_age or 0
