"""The tables that the databases of all services have."""

from sqlalchemy import (
    Column,
    DateTime,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

# One owner at a time of work that must not run twice side by side.
leases = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)

# One row a command: whether its COMMIT was applied, when the answer to it was lost.
commit_markers = Table(
    "run_keys",
    metadata,
    Column("run_key", Uuid, primary_key=True),
    Column("ran_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Events that left with the change that caused them.
outbox = Table(
    "outbox",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("sent_at", DateTime(timezone=True)),
)
# Rows leave this index within milliseconds, so that it stays a few pages small.
Index(
    "outbox_unsent",
    outbox.c.occurred_at,
    outbox.c.event_id,
    postgresql_where=outbox.c.sent_at.is_(None),
)

# Events that took effect, by the queue that they came through.
inbox = Table(
    "inbox",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Messages that no consumer could handle.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("queue", Text, primary_key=True),
    Column("event_id", Uuid, primary_key=True),
    Column("name", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("error", Text, nullable=False),
    Column("died_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Who did what to what (`chassis/audit_log.py`); services whose staff change things have it.
audit_log = Table(
    "audit_log",
    MetaData(),
    Column("entry_id", Uuid, primary_key=True),
    Column("occurred_at", DateTime(timezone=True), nullable=False),
    Column("actor_id", Uuid),
    Column("actor_role", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object_kind", Text, nullable=False),
    Column("object_id", Text, nullable=False),
    Column("state_before", JSONB),
    Column("state_after", JSONB),
    Column("reason", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Index("audit_log_by_actor", "actor_id", "entry_id"),
    Index("audit_log_by_action", "action", "entry_id"),
    Index("audit_log_by_object", "object_kind", "object_id", "entry_id"),
)


def add_chassis_tables(to: MetaData, *, with_audit_log: bool) -> None:
    """Make the metadata of a service's tables those of its whole database."""
    for table in metadata.sorted_tables:
        table.to_metadata(to)
    if with_audit_log:
        audit_log.to_metadata(to)
