"""Disputes that are over: what comes late of one holds no ticket back."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE IF NOT EXISTS disputes_ended (dispute_id UUID NOT NULL PRIMARY KEY)")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
