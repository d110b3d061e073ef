"""Canonical JSON (RFC 8785): one encoding per value, so that bytes can be hashed and signed.

Numbers are integers of at most 53 bits, which JavaScript represents exactly too.
"""

import json
from typing import Any, Final, NoReturn

INTEGER_MAX: Final = 2**53 - 1
DEPTH_MAX: Final = 16


class NotCanonical(ValueError):
    """The bytes are not canonical JSON; the message says what is wrong, and where."""


def dump(value: Any) -> bytes:
    """The RFC 8785 encoding. Raises NotCanonical for values that have none here."""
    try:
        text = json.dumps(_ordered(value, 0), ensure_ascii=False, separators=(",", ":"))
        return text.encode()
    except UnicodeEncodeError as error:
        raise NotCanonical("half a surrogate pair is no text") from error


def load(data: bytes) -> Any:
    """The value of bytes that `dump` makes. Raises NotCanonical."""
    try:
        value = json.loads(data.decode(), parse_float=_no_float, parse_constant=_no_float)
        encoded = dump(value)
    except UnicodeDecodeError as error:
        raise NotCanonical(f"byte {error.start}: not UTF-8") from error
    except json.JSONDecodeError as error:
        raise NotCanonical(f"character {error.pos}: {error.msg}") from error
    except RecursionError as error:
        raise NotCanonical("nested too deeply") from error
    except NotCanonical:
        raise
    except ValueError as error:  # an integer of thousands of digits
        raise NotCanonical("a number is too long") from error
    if encoded != data:
        raise NotCanonical(f"byte {_difference(encoded, data)}: not canonical JSON (RFC 8785)")
    return value


def _ordered(value: Any, depth: int) -> Any:
    if depth > DEPTH_MAX:
        raise NotCanonical("nested too deeply")
    if isinstance(value, dict):
        return {key: _ordered(value[key], depth + 1) for key in sorted(value, key=_utf16)}
    if isinstance(value, list | tuple):
        return [_ordered(item, depth + 1) for item in value]
    if isinstance(value, float):
        _no_float(repr(value))
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        raise NotCanonical(f"{value} is not exact everywhere")
    return value


def _utf16(key: str) -> bytes:
    """RFC 8785 section 3.2.3 sorts by UTF-16 code units."""
    return key.encode("utf-16-be", "surrogatepass")


def _no_float(literal: str) -> NoReturn:
    raise NotCanonical(f"{literal} is not a whole number")


def _difference(one: bytes, other: bytes) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
