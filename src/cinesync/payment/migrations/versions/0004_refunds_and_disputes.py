"""Refunds that providers tell of, refunds that people have to see to, and disputes.

The states of a refund are checked by the code alone from here on: PostgreSQL cannot change a CHECK
in a way that may be repeated.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STEPS = (
    "ALTER TABLE refunds DROP CONSTRAINT IF EXISTS refunds_status",
    "ALTER TABLE refunds ADD COLUMN IF NOT EXISTS provider_refund_id TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE refunds ADD COLUMN IF NOT EXISTS unasked_cents BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE refunds ADD COLUMN IF NOT EXISTS changed_at TIMESTAMPTZ",
    "CREATE UNIQUE INDEX IF NOT EXISTS refunds_at_provider"
    " ON refunds (provider, provider_refund_id) WHERE provider_refund_id <> ''",
    "CREATE INDEX IF NOT EXISTS refunds_submitted ON refunds (provider, next_attempt_at)"
    " WHERE status = 'submitted'",
    "CREATE INDEX IF NOT EXISTS refunds_for_people ON refunds (payment_id)"
    " WHERE status IN ('needs_attention', 'failed')",
    """
CREATE TABLE IF NOT EXISTS disputes (
    dispute_id UUID PRIMARY KEY,
    payment_id UUID NOT NULL REFERENCES payments (payment_id),
    provider TEXT NOT NULL,
    provider_dispute_id TEXT NOT NULL,
    charge_id TEXT NOT NULL,
    amount_cents BIGINT NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL CONSTRAINT disputes_status CHECK (
        status IN ('inquiry', 'open', 'won', 'lost', 'closed', 'prevented')),
    reason TEXT NOT NULL,
    due_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    changed_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    CONSTRAINT disputes_at_provider UNIQUE (provider, provider_dispute_id)
)
""",
    "CREATE INDEX IF NOT EXISTS disputes_of_payment ON disputes (payment_id)",
    "CREATE INDEX IF NOT EXISTS disputes_undecided ON disputes (payment_id)"
    " WHERE status IN ('inquiry', 'open')",
)


def upgrade() -> None:
    """Each step may run again."""
    for step in STEPS:
        op.execute(step)


def downgrade() -> None:
    """Money is not forgotten."""
    raise NotImplementedError
