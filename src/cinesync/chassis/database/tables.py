"""The tables that every service's database has."""

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
