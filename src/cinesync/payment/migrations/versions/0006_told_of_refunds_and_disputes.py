"""A row for each failure of a refund and each state of a dispute, as the ledger has entries."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

STEPS = (
    """
CREATE TABLE IF NOT EXISTS refund_failures (
    event_id UUID PRIMARY KEY,
    refund_id UUID NOT NULL REFERENCES refunds (refund_id),
    amount_cents BIGINT NOT NULL,
    currency TEXT NOT NULL,
    was_refunded BOOLEAN NOT NULL,
    failed_at TIMESTAMPTZ NOT NULL
)
""",
    """
CREATE TABLE IF NOT EXISTS dispute_changes (
    event_id UUID PRIMARY KEY,
    dispute_id UUID NOT NULL REFERENCES disputes (dispute_id),
    amount_cents BIGINT NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    changed_at TIMESTAMPTZ NOT NULL
)
""",
    "CREATE INDEX IF NOT EXISTS refund_failures_of_refund ON refund_failures (refund_id)",
    "CREATE INDEX IF NOT EXISTS dispute_changes_of_dispute ON dispute_changes (dispute_id)",
)


def upgrade() -> None:
    """Each step may run again."""
    for step in STEPS:
        op.execute(step)


def downgrade() -> None:
    """Money is not forgotten."""
    raise NotImplementedError
