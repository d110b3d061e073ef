"""Each submission of before is a batch by itself, under its own name."""

from alembic import op

revision = "0004"
down_revision = "0003"

# Receipts that are stored whole have the block of submissions that do not.
BATCHES = """
INSERT INTO batches (batch_id, event_ids, recorded_at, height)
SELECT s.event_id, ARRAY[s.event_id], s.submitted_at,
    CASE s.state WHEN 'final' THEN COALESCE(s.height, r.height) END
FROM submissions AS s LEFT JOIN receipts AS r ON r.event_id = s.event_id
WHERE s.batch_id IS NULL
ON CONFLICT (batch_id) DO NOTHING
"""
OF_BATCH = "UPDATE submissions SET batch_id = event_id WHERE batch_id IS NULL"


def upgrade() -> None:
    for statement in (BATCHES, OF_BATCH):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward")
