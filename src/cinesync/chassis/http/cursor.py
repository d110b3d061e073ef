"""Pages of a list: the cursor that continues it, encoded and decoded for every list route.

A cursor holds the sort key of the last row of a page. To clients it is opaque. A route decodes it
once, with one parser for each part of the key:

    starts_at, show_id = decode_cursor(after, instant, UUID) or (None, None)
"""

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Generic, TypeVar, overload

import msgspec

from cinesync.chassis.problems import Invalid

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

CURSOR_CHARS_MAX: Final = 500
YEARS: Final = range(1971, 9999)  # a time in them fits every database and time zone
INTEGER: Final = re.compile(r"\d{1,15}", re.ASCII)  # exact in JSON, and a bigint


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; `next` is the cursor that `after` takes, or null at the end."""

    items: Sequence[T]
    next: str | None


def page_of(rows: Sequence[T], limit: int, key: Callable[[T], Sequence[object]]) -> Page[T]:
    """The first `limit` of `rows`, of which the store reads one more to see whether there are."""
    page = rows[:limit]
    return Page(page, encode_cursor(*key(page[-1])) if rows[limit:] else None)


def encode_cursor(*parts: object) -> str:
    """An opaque text for the sort key of the last row."""
    texts = [one.isoformat() if isinstance(one, datetime) else str(one) for one in parts]
    return base64.urlsafe_b64encode(msgspec.json.encode(texts)).decode().rstrip("=")


@overload
def decode_cursor(after: str | None, first: Callable[[str], A], /) -> tuple[A] | None: ...
@overload
def decode_cursor(
    after: str | None, first: Callable[[str], A], second: Callable[[str], B], /
) -> tuple[A, B] | None: ...
@overload
def decode_cursor(
    after: str | None,
    first: Callable[[str], A],
    second: Callable[[str], B],
    third: Callable[[str], C],
    /,
) -> tuple[A, B, C] | None: ...
def decode_cursor(after: str | None, /, *parsers: Callable[[str], Any]) -> tuple[Any, ...] | None:
    """The parts of a cursor, each parsed; None without one. Raises Invalid for any other text."""
    if not after:
        return None
    try:
        return tuple(parse(text) for parse, text in zip(parsers, _texts(after), strict=True))
    except ValueError as error:
        raise Invalid("`after` takes the `next` of an earlier answer.", field="after") from error


def _texts(cursor: str) -> list[str]:
    """Raises ValueError."""
    padded = cursor[:CURSOR_CHARS_MAX] + "=" * (-len(cursor) % 4)
    texts = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=list[str])
    if any("\x00" in text for text in texts):
        raise ValueError("no database takes a NUL")
    return texts


def integer(text: str) -> int:
    """A whole number that is not negative. Raises ValueError."""
    if not INTEGER.fullmatch(text):
        raise ValueError("not a whole number")
    return int(text)


def instant(text: str) -> datetime:
    """A time with its offset, in UTC. Raises ValueError."""
    parsed = datetime.fromisoformat(text)
    if parsed.tzinfo is None or parsed.year not in YEARS:
        raise ValueError("not a time with its offset")
    return parsed.astimezone(UTC)
