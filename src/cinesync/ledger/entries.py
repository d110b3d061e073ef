"""What the ledger keeps of an event: its facts, and commitments to what is personal."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from cinesync.ledger import canonical

FORMAT: Final = "cinesync-entry/1"
ENTRY_BYTES_MAX: Final = 8_192
SALT_BYTES: Final = 32
DIGEST_CHARS: Final = 64
MEMBERS: Final = frozenset(
    {"booking_id", "commitments", "event_id", "facts", "format", "kind", "time"}
)
PERSONAL: Final = frozenset({"customer_id"})
ENVELOPE: Final = frozenset({"event_id", "occurred_at", "trace", "name", "version"})
COMMITMENT_DOMAIN: Final = b"cinesync/commitment/1\x00"


class BadEntry(ValueError):
    """This is no entry; the message says why."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One leaf of the log. `time` is in microseconds since 1970, UTC."""

    event_id: str
    kind: str
    time: int
    booking_id: str
    facts: Mapping[str, Any]
    commitments: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "event_id": self.event_id,
            "kind": self.kind,
            "time": self.time,
            "booking_id": self.booking_id,
            "facts": dict(self.facts),
            "commitments": dict(self.commitments),
        }

    def encode(self) -> bytes:
        return canonical.dump(self.to_json())


def entry_of(name: str, body: bytes, salt: bytes) -> Entry:
    """The entry of an event as it travels (`events.encode`).

    Hiding rests on the salt: whoever has it can open the commitments, and nobody else, ever.
    """
    fields: dict[str, Any] = msgspec.json.decode(body)
    subject = fields.pop("booking_id", None) or fields.pop("hold_id")
    public = {k: v for k, v in fields.items() if k not in PERSONAL | ENVELOPE}
    personal = {k: commitment(salt, k, v) for k, v in fields.items() if k in PERSONAL}
    return Entry(
        event_id=fields["event_id"],
        kind=name,
        time=microseconds(datetime.fromisoformat(fields["occurred_at"])),
        booking_id=subject,
        facts=public,
        commitments=personal,
    )


def commitment(salt: bytes, field: str, value: str) -> str:
    """SHA-256 over a domain, the entry's own salt, and the field with its value."""
    opened = canonical.dump({field: value})
    return hashlib.sha256(COMMITMENT_DOMAIN + salt + opened).hexdigest()


def microseconds(moment: datetime) -> int:
    """Since 1970, exactly: floats lose some."""
    since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def decode(data: bytes) -> Entry:
    """Raises BadEntry for anything that `Entry.encode` would not have made."""
    if len(data) > ENTRY_BYTES_MAX:
        raise BadEntry(f"{len(data)} bytes are too many")
    try:
        return from_json(canonical.load(data))
    except canonical.NotCanonical as error:
        raise BadEntry(str(error)) from error


def from_json(value: Any) -> Entry:
    """Raises BadEntry, naming the member."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BadEntry(f"not a {FORMAT}")
    if set(value) != MEMBERS:
        raise BadEntry(f"members {sorted(set(value) ^ MEMBERS)} are missing or unknown")
    for name in ("event_id", "booking_id"):
        if not _is_uuid(value[name]):
            raise BadEntry(f"{name} is not a UUID")
    if not isinstance(value["kind"], str) or not 1 <= len(value["kind"]) <= DIGEST_CHARS:
        raise BadEntry("kind is not a name")
    if type(value["time"]) is not int or value["time"] < 0:
        raise BadEntry("time is not microseconds since 1970")
    if not isinstance(value["facts"], dict) or not _commits(value["commitments"]):
        raise BadEntry("facts or commitments have the wrong shape")
    return Entry(**{name: value[name] for name in MEMBERS - {"format"}})


def _is_uuid(value: Any) -> bool:
    try:
        return isinstance(value, str) and str(UUID(value)) == value
    except ValueError:
        return False


def _commits(value: Any) -> bool:
    return isinstance(value, dict) and all(is_digest(text) for text in value.values())


def is_digest(value: Any) -> bool:
    """32 bytes in lower-case hexadecimal digits."""
    return is_hex(value, DIGEST_CHARS // 2)


def is_hex(value: Any, size: int) -> bool:
    """`size` bytes in their one spelling."""
    digits = frozenset("0123456789abcdef")
    return isinstance(value, str) and len(value) == 2 * size and digits.issuperset(value)
