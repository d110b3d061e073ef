"""A submission is written once: how far it is, its batch knows."""

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    "ALTER TABLE submissions ALTER COLUMN batch_id SET NOT NULL",
    "DROP INDEX IF EXISTS submissions_waiting",
    "ALTER TABLE submissions DROP CONSTRAINT IF EXISTS submissions_state",
    "ALTER TABLE submissions DROP COLUMN IF EXISTS state",
    "ALTER TABLE submissions DROP COLUMN IF EXISTS height",
    "ALTER TABLE submissions DROP COLUMN IF EXISTS log_index",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward")
