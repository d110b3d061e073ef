"""Whole shows given back by staff, page by page."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """CREATE TABLE IF NOT EXISTS show_refunds (
        refund_id UUID PRIMARY KEY,
        region TEXT NOT NULL,
        show_id UUID NOT NULL,
        note TEXT NOT NULL,
        actor_id UUID NOT NULL,
        currency TEXT NOT NULL,
        bookings_refunded BIGINT NOT NULL,
        refund_cents BIGINT NOT NULL,
        started_at TIMESTAMPTZ NOT NULL,
        finished_at TIMESTAMPTZ)"""
    )


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
