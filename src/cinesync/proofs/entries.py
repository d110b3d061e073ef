"""Ledger entries: the facts of an event, and commitments to its personal data."""

import hashlib
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

FORMAT: Final = "cinesync-entry/1"
ENTRY_BYTES_MAX: Final = 8_192
SALT_BYTES: Final = 32
PERSONAL: Final = frozenset({"customer_id"})
ENVELOPE: Final = frozenset({"event_id", "occurred_at", "trace", "name", "version"})
COMMITMENT_DOMAIN: Final = b"cinesync/commitment/1\x00"
EXACT_MAX: Final = 2**53 - 1
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# Matched by `_check`: as patterns of msgspec they took two thirds of the time to decode.
_ID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
ID: Final = re.compile(_ID)
IDS: Final = re.compile(f"{_ID} {_ID}")
# ASCII names sort alike in every encoding, so that msgspec's order is RFC 8785's.
NAME: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}")
COMMITMENT: Final = re.compile(r"[0-9a-f]{64}")
Exact = Annotated[int, Meta(ge=-EXACT_MAX, le=EXACT_MAX)]
Microseconds = Annotated[int, Meta(ge=0, le=EXACT_MAX)]
FactValue = bool | Exact | str | None | list[str]


class BadEntry(ValueError):
    """Not a ledger entry; the message says why."""


class LedgerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One leaf of the log. `time` is in microseconds since 1970, UTC."""

    event_id: str
    kind: str
    time: Microseconds
    booking_id: str
    facts: dict[str, FactValue]
    commitments: dict[str, str]
    format: Literal["cinesync-entry/1"]

    def to_json(self) -> dict[str, Any]:
        builtins: dict[str, Any] = msgspec.to_builtins(self)
        return builtins

    def encode(self) -> bytes:
        """Canonical JSON, faster than `canonical_json.dump`; a test compares the two."""
        return msgspec.json.encode(self, order="sorted")


_DECODER: Final = msgspec.json.Decoder(LedgerEntry)


def entry_of(name: str, event: object, salt: bytes) -> LedgerEntry:
    """The entry of a domain event.

    The salt hides the personal data: only its holder can open the commitments.
    """
    fields: dict[str, Any] = msgspec.to_builtins(event, builtin_types=(datetime,))
    subject = fields.pop("booking_id", None) or fields.pop("hold_id")
    public = {
        k: list(v) if isinstance(v, tuple) else v
        for k, v in fields.items()
        if k not in PERSONAL and k not in ENVELOPE
    }
    personal = {k: commitment(salt, k, v) for k, v in fields.items() if k in PERSONAL}
    return LedgerEntry(
        format=FORMAT,
        event_id=fields["event_id"],
        kind=name,
        time=microseconds(fields["occurred_at"]),
        booking_id=subject,
        facts=public,
        commitments=personal,
    )


def commitment(salt: bytes, field: str, value: str) -> str:
    """SHA-256 over a domain, the entry's own salt, and the field with its value."""
    opened = msgspec.json.encode({field: value})  # canonical, with one member
    return hashlib.sha256(COMMITMENT_DOMAIN + salt + opened).hexdigest()


def microseconds(at: datetime) -> int:
    """Since 1970, exact: a float would lose digits."""
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def is_id(value: object) -> bool:
    return isinstance(value, str) and ID.fullmatch(value) is not None


def decode(data: bytes) -> LedgerEntry:
    """Raises BadEntry for bytes that `LedgerEntry.encode` does not make."""
    if len(data) > ENTRY_BYTES_MAX:
        raise BadEntry(f"{len(data)} bytes: more than {ENTRY_BYTES_MAX}")
    try:
        entry = _DECODER.decode(data)
        encoded = entry.encode()
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BadEntry(str(error)) from error
    if encoded != data:
        raise BadEntry("not canonical JSON (RFC 8785)")
    _check(entry)
    return entry


def from_json(value: Any) -> LedgerEntry:
    """Raises BadEntry, naming the member."""
    try:
        entry = msgspec.convert(value, LedgerEntry)
    except msgspec.ValidationError as error:
        raise BadEntry(str(error)) from error
    _check(entry)
    return entry


def _check(entry: LedgerEntry) -> None:
    """Check the form of identifiers, names and hashes. Raises BadEntry, naming the member."""
    names = (entry.kind, *entry.facts, *entry.commitments)
    # One match for both: neither can contain the space between them.
    if IDS.fullmatch(f"{entry.event_id} {entry.booking_id}") is None or not _are_names(names):
        raise BadEntry(_malformed_member(entry))
    for value in entry.commitments.values():
        if COMMITMENT.fullmatch(value) is None:
            raise BadEntry("not a SHA-256 in lower case - at `$.commitments`")


def _malformed_member(entry: LedgerEntry) -> str:
    for where, value in (("event_id", entry.event_id), ("booking_id", entry.booking_id)):
        if not is_id(value):
            return f"not a UUID in lower case - at `$.{where}`"
    where = "facts" if _are_names((entry.kind, *entry.commitments)) else "commitments"
    return f"not a name - at `$.{where if _are_names((entry.kind,)) else 'kind'}`"


@lru_cache(maxsize=1_024)
def _are_names(names: tuple[str, ...]) -> bool:
    """Cached: kinds and names of facts repeat."""
    return all(NAME.fullmatch(name) for name in names)
