"""The audit trail: who did what to what, from where, written with the change itself.

An entry is a row of `audit_log` in the database of the service that made the change, appended in
the same transaction: there is no change without its entry, and no entry of a change that was
rolled back. After the commit the entry is a log line too, so that a copy leaves the machine with
the logs.

The table is append-only. The code has no UPDATE and no DELETE of it (a test reads every statement),
and the service's role has no right to them. Rows are not chained by hashes: a chain needs the row
before, so that under SERIALIZABLE any two sign-ins at a time would abort each other, and entries
would queue behind one hot row. What an intruder with the rights of the database's owner takes away
is missing there and still in the shipped log lines.

Actions are dotted, past tense, and listed in one StrEnum in each service's `model.py`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache, partial
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, bindparam, select

from cinesync.chassis import clock, telemetry
from cinesync.chassis.database import (
    Row,
    Statement,
    Transaction,
    batch,
    compiled,
    insert_from,
)
from cinesync.chassis.database.tables import audit_log

log = telemetry.get_logger(__name__)

AUDIT_LOG_DDL: Sequence[str] = (
    "CREATE TABLE IF NOT EXISTS audit_log ("
    " entry_id UUID PRIMARY KEY, occurred_at TIMESTAMPTZ NOT NULL,"
    " actor_id UUID, actor_role TEXT NOT NULL, address TEXT NOT NULL,"
    " action TEXT NOT NULL, object_kind TEXT NOT NULL, object_id TEXT NOT NULL,"
    " state_before JSONB, state_after JSONB, reason TEXT NOT NULL, trace_id TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS audit_log_by_actor ON audit_log (actor_id, entry_id)",
    "CREATE INDEX IF NOT EXISTS audit_log_by_action ON audit_log (action, entry_id)",
    "CREATE INDEX IF NOT EXISTS audit_log_by_object"
    " ON audit_log (object_kind, object_id, entry_id)",
)

# The owner's own rights: a superuser, and CockroachDB's owners, have them all the same.
APPEND_ONLY_DDL: Sequence[str] = ("REVOKE UPDATE, DELETE ON audit_log FROM CURRENT_USER",)

# A name with one of these words holds what never belongs into a trail that others read.
SECRET_WORDS = frozenset(
    {"password", "token", "secret", "cookie", "hash", "cvc", "cvv", "pan", "iban", "totp"}
)
SECRET_NAMES = frozenset({"card", "card_number", "api_key", "private_key"})
APPEND = compiled(
    insert_from(
        audit_log,
        batch("entries", *(column for column in audit_log.c if column.name != "trace_id")),
        trace_id=bindparam("trace_id"),
    )
)
FILTERS = {
    "actor": audit_log.c.actor_id,
    "action": audit_log.c.action,
    "object_kind": audit_log.c.object_kind,
    "object_id": audit_log.c.object_id,
}
# A UUIDv7 contains its millisecond, so a time is a bound of the primary key.
_TIME_SHIFT = 80
_MILLISECONDS_MAX = (1 << 48) - 1
LAST_ID = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and from which address. `id` is None for a visitor who is not signed in."""

    role: str
    id: UUID | None = None
    address: str = ""


SYSTEM = Actor("system")  # a service on its own behalf
OPERATOR = Actor("operator")  # at the command line of the machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One action on one object. `before` and `after` hold what changed, never a secret.

    Raises ValueError for a name in them that speaks of a secret.
    """

    actor: Actor
    action: StrEnum
    object_kind: str
    object_id: UUID | str
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    reason: str = ""
    entry_id: UUID = field(default_factory=clock.new_id)
    occurred_at: datetime = field(default_factory=clock.now)

    def __post_init__(self) -> None:
        """Raises ValueError."""
        for name in (*_names(self.before), *_names(self.after)):
            if name in SECRET_NAMES or SECRET_WORDS.intersection(name.split("_")):
                raise ValueError(f"{self.action}: {name} does not belong into the audit log")


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryView:
    """An entry as it is read; `before` and `after` are what changed."""

    entry_id: UUID
    occurred_at: datetime
    actor_id: UUID | None
    actor_role: str
    address: str
    action: str
    object_kind: str
    object_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str
    trace_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries; None lets all pass. `since` is the earliest time, `until` the first too late.

    `older_than` is the last entry of the page before.
    """

    actor: UUID | None = None
    action: str | None = None
    object_kind: str | None = None
    object_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    older_than: UUID | None = None
    limit: int = 50


async def append(tx: Transaction, entries: Sequence[Entry]) -> None:
    """Write `entries` in the caller's transaction, and log them when it commits."""
    if not entries:
        return
    # What one transaction did is read in this order, also within one millisecond.
    ids = sorted(entry.entry_id for entry in entries)
    entries = [replace(one, entry_id=entry_id) for one, entry_id in zip(entries, ids, strict=True)]
    trace_id = telemetry.trace_id(telemetry.current_trace())
    rows = [
        (
            entry.entry_id,
            entry.occurred_at,
            entry.actor.id,
            entry.actor.role,
            entry.actor.address,
            str(entry.action),
            entry.object_kind,
            str(entry.object_id),
            _as_json(entry.before),
            _as_json(entry.after),
            entry.reason,
        )
        for entry in entries
    ]
    await tx.execute(APPEND, {"entries": rows, "trace_id": trace_id})
    tx.after_commit.append(partial(_log, tuple(entries)))


async def page(tx: Transaction, wanted: Filter) -> list[EntryView]:
    """Entries that `wanted` lets pass, newest first."""
    values: dict[str, Any] = {
        "since": _bound(wanted.since) if wanted.since else UUID(int=0),
        "until": min(
            _bound(wanted.until) if wanted.until else LAST_ID, wanted.older_than or LAST_ID
        ),
        "limit": wanted.limit,
    }
    filters = {name: getattr(wanted, name) for name in FILTERS if getattr(wanted, name) is not None}
    return [_view(row) for row in await tx.execute(_page(frozenset(filters)), values | filters)]


@cache
def _page(filters: frozenset[str]) -> Statement:
    """A page of the entries that equal the parameters of these names."""
    return compiled(
        select(*audit_log.c)
        .where(
            audit_log.c.entry_id >= bindparam("since"),
            audit_log.c.entry_id < bindparam("until"),
            *(FILTERS[name] == bindparam(name) for name in sorted(filters)),
        )
        .order_by(audit_log.c.entry_id.desc())
        .limit(bindparam("limit", type_=BigInteger))
    )


def _view(row: Row) -> EntryView:
    return EntryView(
        entry_id=row.entry_id,
        occurred_at=row.occurred_at,
        actor_id=row.actor_id,
        actor_role=row.actor_role,
        address=row.address,
        action=row.action,
        object_kind=row.object_kind,
        object_id=row.object_id,
        before=row.state_before,
        after=row.state_after,
        reason=row.reason,
        trace_id=row.trace_id,
    )


def _bound(time: datetime) -> UUID:
    """The lowest id of its millisecond."""
    since_1970 = time.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds = int(since_1970.total_seconds() * 1000)
    return UUID(int=min(max(milliseconds, 0), _MILLISECONDS_MAX) << _TIME_SHIFT)


def _names(state: object) -> Iterator[str]:
    if isinstance(state, Mapping):
        for name, value in state.items():
            yield str(name)
            yield from _names(value)


def _as_json(state: Mapping[str, Any] | None) -> str | None:
    return None if state is None else msgspec.json.encode(state).decode()


def _log(entries: Sequence[Entry]) -> None:
    for entry in entries:
        log.info(
            "audit.recorded",
            entry_id=str(entry.entry_id),
            action=str(entry.action),
            actor_id=str(entry.actor.id) if entry.actor.id else None,
            actor_role=entry.actor.role,
            address=entry.actor.address,
            object_kind=entry.object_kind,
            object_id=str(entry.object_id),
            before=entry.before,
            after=entry.after,
            reason=entry.reason,
        )
