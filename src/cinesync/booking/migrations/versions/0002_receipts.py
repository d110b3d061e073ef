"""Where the ledger has each booking."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """CREATE TABLE IF NOT EXISTS booking_receipts (
        booking_id UUID PRIMARY KEY,
        event_id UUID NOT NULL,
        height BIGINT NOT NULL,
        log_index BIGINT NOT NULL)"""
    )


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
