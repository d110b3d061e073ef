"""What was told of refunds and disputes before there were rows of it is in the outbox still."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

STEPS = (
    "INSERT INTO refund_failures (event_id, refund_id, amount_cents, currency, was_refunded,"
    " failed_at) SELECT t.event_id, CAST(t.body ->> 'refund_id' AS UUID),"
    " CAST(t.body ->> 'amount_cents' AS BIGINT), t.body ->> 'currency',"
    " CAST(t.body ->> 'was_refunded' AS BOOLEAN), t.occurred_at"
    " FROM (SELECT event_id, occurred_at, CAST(convert_from(body, 'UTF8') AS JSONB) AS body"
    " FROM outbox WHERE name = 'payment.refund.failed') AS t ON CONFLICT (event_id) DO NOTHING",
    "INSERT INTO dispute_changes (event_id, dispute_id, amount_cents, currency, status,"
    " changed_at) SELECT t.event_id, CAST(t.body ->> 'dispute_id' AS UUID),"
    " CAST(t.body ->> 'amount_cents' AS BIGINT), t.body ->> 'currency', t.body ->> 'status',"
    " t.occurred_at"
    " FROM (SELECT event_id, occurred_at, CAST(convert_from(body, 'UTF8') AS JSONB) AS body"
    " FROM outbox WHERE name = 'payment.disputed') AS t ON CONFLICT (event_id) DO NOTHING",
)


def upgrade() -> None:
    """Each step may run again."""
    for step in STEPS:
        op.execute(step)


def downgrade() -> None:
    """Money is not forgotten."""
    raise NotImplementedError
