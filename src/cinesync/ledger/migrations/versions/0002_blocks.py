"""Receipts are made from their block; only those that cannot be are stored whole."""

from alembic import op

revision = "0002"
down_revision = "0001"

PLACES = (
    "ALTER TABLE submissions ADD COLUMN IF NOT EXISTS height BIGINT",
    "ALTER TABLE submissions ADD COLUMN IF NOT EXISTS log_index BIGINT",
)
BLOCKS = (
    "ALTER TABLE certificates ADD COLUMN IF NOT EXISTS peaks BYTEA",
    "ALTER TABLE certificates ADD COLUMN IF NOT EXISTS leaves BYTEA",
)


def upgrade() -> None:
    for statement in (*PLACES, *BLOCKS):
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward")
