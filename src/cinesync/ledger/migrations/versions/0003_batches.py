"""What was recorded together is final together, in one narrow row."""

from alembic import op

revision = "0003"
down_revision = "0002"

BATCHES = """
CREATE TABLE IF NOT EXISTS batches (
    batch_id UUID PRIMARY KEY,
    event_ids UUID[] NOT NULL,
    recorded_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    height BIGINT
)
"""
WAITING = """
CREATE INDEX IF NOT EXISTS batches_waiting ON batches (recorded_at, batch_id)
WHERE height IS NULL
"""
OF_BATCH = "ALTER TABLE submissions ADD COLUMN IF NOT EXISTS batch_id UUID"


def upgrade() -> None:
    for statement in (BATCHES, WAITING, OF_BATCH):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward")
