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

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any, cast
from uuid import UUID

import msgspec

from cinesync.chassis import clock, telemetry
from cinesync.chassis.database import Row, Transaction, text

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
COLUMNS = (
    "entry_id, occurred_at, actor_id, actor_role, address, action, object_kind, object_id,"
    " state_before, state_after, reason, trace_id"
)
# A UUIDv7 tells the millisecond: a time is a bound of the primary key.
_TIME_SHIFT = 80
_MILLISECONDS_MAX = (1 << 48) - 1
LAST_ID = UUID(int=(1 << 128) - 1)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does it, and from which address. `id` is None for somebody who is not signed in."""

    role: str
    id: UUID | None = None
    address: str = ""


SYSTEM = Actor("system")  # the shop by itself
OPERATOR = Actor("operator")  # somebody at the machine's command line


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
    statement = text(
        f"INSERT INTO audit_log ({COLUMNS})"  # noqa: S608 a constant
        " SELECT t.entry_id, t.occurred_at, t.actor_id, t.actor_role, t.address, t.action,"
        " t.object_kind, t.object_id, CAST(t.state_before AS jsonb),"
        " CAST(t.state_after AS jsonb), t.reason, CAST(:trace_id AS text)"
        " FROM unnest(CAST(:entry_ids AS uuid[]), CAST(:times AS timestamptz[]),"
        " CAST(:actor_ids AS uuid[]), CAST(:actor_roles AS text[]), CAST(:addresses AS text[]),"
        " CAST(:actions AS text[]), CAST(:object_kinds AS text[]), CAST(:object_ids AS text[]),"
        " CAST(:befores AS text[]), CAST(:afters AS text[]), CAST(:reasons AS text[]))"
        " AS t(entry_id, occurred_at, actor_id, actor_role, address, action, object_kind,"
        " object_id, state_before, state_after, reason)"
    )
    values = {
        "trace_id": trace_id,
        "entry_ids": [entry.entry_id for entry in entries],
        "times": [entry.occurred_at for entry in entries],
        "actor_ids": [entry.actor.id for entry in entries],
        "actor_roles": [entry.actor.role for entry in entries],
        "addresses": [entry.actor.address for entry in entries],
        "actions": [str(entry.action) for entry in entries],
        "object_kinds": [entry.object_kind for entry in entries],
        "object_ids": [str(entry.object_id) for entry in entries],
        "befores": [_as_json(entry.before) for entry in entries],
        "afters": [_as_json(entry.after) for entry in entries],
        "reasons": [entry.reason for entry in entries],
    }
    await tx.execute(statement, values)
    tx.after_commit.append(partial(_log, tuple(entries)))


async def page(tx: Transaction, wanted: Filter) -> list[EntryView]:
    """Entries that `wanted` lets pass, newest first."""
    clauses = ["entry_id >= CAST(:since AS uuid)", "entry_id < CAST(:until AS uuid)"]
    values: dict[str, Any] = {
        "since": _bound(wanted.since) if wanted.since else UUID(int=0),
        "until": min(
            _bound(wanted.until) if wanted.until else LAST_ID, wanted.older_than or LAST_ID
        ),
        "limit": wanted.limit,
    }
    if wanted.actor is not None:
        clauses.append("actor_id = CAST(:actor AS uuid)")
        values["actor"] = wanted.actor
    for column in ("action", "object_kind", "object_id"):
        if (value := getattr(wanted, column)) is not None:
            clauses.append(f"{column} = CAST(:{column} AS text)")
            values[column] = value
    statement = text(
        f"SELECT {COLUMNS} FROM audit_log WHERE {' AND '.join(clauses)}"  # noqa: S608 constants
        " ORDER BY entry_id DESC LIMIT CAST(:limit AS bigint)"
    )
    return [_view(row) for row in await tx.execute(statement, values)]


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
        before=_from_json(row.state_before),
        after=_from_json(row.state_after),
        reason=row.reason,
        trace_id=row.trace_id,
    )


def _bound(moment: datetime) -> UUID:
    """The lowest id of its millisecond."""
    since_1970 = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    milliseconds = int(since_1970.total_seconds() * 1000)
    return UUID(int=min(max(milliseconds, 0), _MILLISECONDS_MAX) << _TIME_SHIFT)


def _names(state: object) -> Iterator[str]:
    if isinstance(state, Mapping):
        for name, value in state.items():
            yield str(name)
            yield from _names(value)


def _as_json(state: Mapping[str, Any] | None) -> str | None:
    return None if state is None else msgspec.json.encode(state).decode()


def _from_json(column: object) -> dict[str, Any] | None:
    """JSONB as the driver hands it over: text, or decoded already."""
    state = json.loads(column) if isinstance(column, str | bytes) else column
    return cast("dict[str, Any] | None", state)


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
