"""Payments, the money captured for them, the money given back, and what providers told us."""

from alembic import op

from cinesync.chassis.database.migrations import CHASSIS_DDL

revision = "0001"
down_revision = None

PAYMENTS = """
CREATE TABLE IF NOT EXISTS payments (
    payment_id UUID PRIMARY KEY,
    customer_id UUID NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    hold_id UUID NOT NULL,
    hold_expires_at TIMESTAMPTZ NOT NULL,
    provider TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CONSTRAINT payments_amount CHECK (amount_cents > 0),
    currency TEXT NOT NULL,
    status TEXT NOT NULL CONSTRAINT payments_status CHECK (
        status IN ('pending', 'success', 'failed', 'partially_refunded', 'refunded')),
    charge_id TEXT NOT NULL DEFAULT '',
    failure_reason TEXT NOT NULL DEFAULT '',
    confirm_url TEXT NOT NULL DEFAULT '',
    refund_asked_cents BIGINT NOT NULL DEFAULT 0,
    refunded_cents BIGINT NOT NULL DEFAULT 0,
    trace TEXT NOT NULL DEFAULT '',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    settled_at TIMESTAMPTZ,
    checks BIGINT NOT NULL DEFAULT 0,
    next_check_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT payments_key UNIQUE (customer_id, idempotency_key),
    CONSTRAINT payments_refunds CHECK (
        refunded_cents >= 0 AND refunded_cents <= refund_asked_cents
        AND refund_asked_cents <= amount_cents)
)
"""
CAPTURES = """
CREATE TABLE IF NOT EXISTS captures (
    provider TEXT NOT NULL,
    charge_id TEXT NOT NULL,
    payment_id UUID NOT NULL REFERENCES payments (payment_id),
    amount_cents BIGINT NOT NULL,
    currency TEXT NOT NULL,
    surplus BOOLEAN NOT NULL,
    captured_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, charge_id)
)
"""
REFUNDS = """
CREATE TABLE IF NOT EXISTS refunds (
    refund_id UUID PRIMARY KEY,
    source TEXT NOT NULL UNIQUE,
    payment_id UUID NOT NULL REFERENCES payments (payment_id),
    provider TEXT NOT NULL,
    charge_id TEXT NOT NULL,
    amount_cents BIGINT NOT NULL CONSTRAINT refunds_amount CHECK (amount_cents > 0),
    currency TEXT NOT NULL,
    reason TEXT NOT NULL,
    surplus BOOLEAN NOT NULL,
    status TEXT NOT NULL DEFAULT 'pending' CONSTRAINT refunds_status CHECK (
        status IN ('pending', 'done')),
    attempts BIGINT NOT NULL DEFAULT 0,
    next_attempt_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    last_error TEXT NOT NULL DEFAULT '',
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    done_at TIMESTAMPTZ
)
"""
PROVIDER_EVENTS = """
CREATE TABLE IF NOT EXISTS provider_events (
    provider TEXT NOT NULL,
    provider_event_id TEXT NOT NULL,
    payment_id UUID NOT NULL,
    received_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (provider, provider_event_id)
)
"""
INDEXES = (
    "CREATE INDEX IF NOT EXISTS payments_of_customer"
    " ON payments (customer_id, created_at, payment_id)",
    "CREATE INDEX IF NOT EXISTS payments_of_hold ON payments (hold_id)",
    "CREATE INDEX IF NOT EXISTS payments_pending ON payments (provider, next_check_at)"
    " WHERE status = 'pending'",
    "CREATE INDEX IF NOT EXISTS captures_of_payment ON captures (payment_id)",
    "CREATE INDEX IF NOT EXISTS refunds_of_payment ON refunds (payment_id)",
    "CREATE INDEX IF NOT EXISTS refunds_pending ON refunds (provider, next_attempt_at)"
    " WHERE status = 'pending'",
)


def upgrade() -> None:
    """Everything there is at the beginning."""
    for statement in (*CHASSIS_DDL, PAYMENTS, CAPTURES, REFUNDS, PROVIDER_EVENTS, *INDEXES):
        op.execute(statement)


def downgrade() -> None:
    """Money is not forgotten."""
    raise NotImplementedError
