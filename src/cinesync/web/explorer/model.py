"""What the ledger's API answers, as far as the explorer shows it, and what follows: pure."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct, field


class Validator(Struct, frozen=True):
    """Its own word about where it stands; none that counts when it does not answer."""

    replica: int
    answers: bool = False
    view: int = 0
    primary: int = 0
    height: int = 0
    active: bool = False
    abstaining: bool = False


class Status(Struct, frozen=True):
    """`height` is the highest that f + 1 validators reach; None: too few answer."""

    chain: str
    height: int | None = None
    waiting: int = 0
    validators: list[Validator] = field(default_factory=list)

    @property
    def answering(self) -> list[Validator]:
        return [one for one in self.validators if one.answers]

    @property
    def quorum(self) -> int:
        """How many validators must agree on a block: 2f + 1 of 3f + 1."""
        n = len(self.validators)
        return (n + (n - 1) // 3) // 2 + 1

    @property
    def weak(self) -> int:
        """At least one of so many is honest: f + 1 of 3f + 1."""
        return (len(self.validators) - 1) // 3 + 1

    @property
    def primary(self) -> int | None:
        """Of the highest view that so many have reached that one of them is honest."""
        views = sorted((one.view for one in self.answering), reverse=True)
        if len(views) < self.weak:
            return None
        view = views[self.weak - 1]
        return next(one.primary for one in self.answering if one.view == view)

    def lag(self, one: Validator) -> int:
        return max(0, (self.height or 0) - one.height)


class Header(Struct, frozen=True):
    height: int
    time: int
    size: int
    root: str
    entries_root: str
    map_root: str
    previous: str
    validators: str
    chain: str

    @property
    def at(self) -> datetime:
        return moment_of(self.time)


class Signature(Struct, frozen=True):
    replica: int
    signature: str


class Certificate(Struct, frozen=True):
    epoch: int
    signatures: list[Signature]


class Placed(Struct, frozen=True):
    """An entry, and where the chain has it."""

    index: int
    height: int
    entry: dict[str, Any]

    @property
    def event_id(self) -> str:
        return str(self.entry.get("event_id", ""))

    @property
    def kind(self) -> str:
        return str(self.entry.get("kind", ""))

    @property
    def at(self) -> datetime:
        return moment_of(self.entry["time"])


class Block(Struct, frozen=True):
    height: int
    hash: str
    header: Header
    entries: list[Placed] = field(default_factory=list)
    certificate: Certificate | None = None

    def position(self, event_id: str) -> int | None:
        """Of an entry among the entries of this block."""
        found = (at for at, one in enumerate(self.entries) if one.event_id == event_id)
        return next(found, None)


class Genesis(Struct, frozen=True):
    format: str
    name: str


class Receipt(Struct, frozen=True):
    """What the page tells of a receipt; whether it is good, the browser finds out."""

    header: Header
    certificate: Certificate
    entry: dict[str, Any]
    index: int
    path: list[str]


class Completeness(Struct, frozen=True):
    """What the page tells of a booking's proof; whether it is good, the browser finds out."""

    header: Header
    booking_id: str


def moment_of(microseconds: int) -> datetime:
    """From microseconds since 1970."""
    return datetime.fromtimestamp(microseconds // 1_000_000, UTC)


def leaf_hashes(entries: Sequence[Placed]) -> list[bytes]:
    """RFC 9162 hashes of the entries as the chain spells them (RFC 8785)."""
    return [hashlib.sha256(b"\x00" + _canonical(one.entry)).digest() for one in entries]


def _canonical(entry: dict[str, Any]) -> bytes:
    """The members' names in the order of UTF-16 code units; numbers are whole."""
    return json.dumps(_ordered(entry), ensure_ascii=False, separators=(",", ":")).encode()


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return {name: _ordered(value[name]) for name in names}
    return [_ordered(item) for item in value] if isinstance(value, list) else value
