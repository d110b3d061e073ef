"""Strict checks of parsed JSON: exactly these members, in their only valid form."""

from collections.abc import Collection
from typing import Any, Final

INTEGER_MAX: Final = 2**53 - 1


class InvalidDocument(Exception):
    """A document is invalid: the message says where, and what is wrong."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what


def object_with(value: Any, names: Collection[str], where: str) -> dict[str, Any]:
    """An object with exactly these members."""
    if not isinstance(value, dict):
        raise InvalidDocument(where, "not an object")
    for name in names:
        if name not in value:
            raise InvalidDocument(where, f'member "{name}" is missing')
    for name in value:
        if name not in names:
            raise InvalidDocument(where, f"member {name[:40]!r} is unknown")
    return value


def integer(value: Any, where: str, at_most: int = INTEGER_MAX) -> int:
    """An integer from 0 to `at_most`; `True` is not one."""
    if type(value) is not int or not 0 <= value <= at_most:
        raise InvalidDocument(where, f"not a whole number from 0 to {at_most}")
    return value


def hexadecimal(value: Any, where: str, size: int = 32) -> bytes:
    """`size` bytes in lower-case hexadecimal digits."""
    if not (isinstance(value, str) and len(value) == 2 * size):
        raise InvalidDocument(where, f"not {2 * size} hexadecimal digits")
    try:
        data = bytes.fromhex(value)
    except ValueError:
        data = b""
    if data.hex() != value:
        raise InvalidDocument(where, f"not {2 * size} lower-case hexadecimal digits")
    return data


def array(value: Any, where: str, at_most: int) -> list[Any]:
    """A list of at most `at_most` items."""
    if not isinstance(value, list) or len(value) > at_most:
        raise InvalidDocument(where, f"not a list of at most {at_most}")
    return value


def text(value: Any, where: str, at_most: int = 64) -> str:
    """Printable text of 1 to `at_most` characters, safe to show."""
    if not (isinstance(value, str) and 1 <= len(value) <= at_most and value.isprintable()):
        raise InvalidDocument(where, f"not a printable text of 1 to {at_most} characters")
    return value


def boolean(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidDocument(where, "neither true nor false")
    return value
