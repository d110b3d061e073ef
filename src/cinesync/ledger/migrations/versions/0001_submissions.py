"""What is to be written to the chain, and the proofs that it is there."""

from alembic import op

from cinesync.chassis.database.migrations import CHASSIS_DDL

revision = "0001"
down_revision = None

SUBMISSIONS = """
CREATE TABLE IF NOT EXISTS submissions (
    event_id UUID PRIMARY KEY,
    kind TEXT NOT NULL,
    booking_id UUID NOT NULL,
    customer_id UUID,
    salt BYTEA,
    entry BYTEA NOT NULL,
    state TEXT NOT NULL CONSTRAINT submissions_state CHECK (state IN ('waiting', 'final')),
    occurred_at TIMESTAMPTZ NOT NULL,
    submitted_at TIMESTAMPTZ NOT NULL DEFAULT now()
)
"""
WAITING = """
CREATE INDEX IF NOT EXISTS submissions_waiting ON submissions (occurred_at, event_id)
WHERE state = 'waiting'
"""
OF_CUSTOMER = """
CREATE INDEX IF NOT EXISTS submissions_of_customer ON submissions (customer_id)
"""
RECEIPTS = """
CREATE TABLE IF NOT EXISTS receipts (
    event_id UUID PRIMARY KEY REFERENCES submissions (event_id),
    booking_id UUID NOT NULL,
    height BIGINT NOT NULL,
    log_index BIGINT NOT NULL,
    receipt TEXT NOT NULL,
    made_at TIMESTAMPTZ NOT NULL DEFAULT now()
)
"""
OF_BOOKING = """
CREATE INDEX IF NOT EXISTS receipts_of_booking ON receipts (booking_id, log_index)
"""
CERTIFICATES = """
CREATE TABLE IF NOT EXISTS certificates (
    height BIGINT PRIMARY KEY,
    header TEXT NOT NULL,
    certificate TEXT NOT NULL
)
"""
WRITERS = """
CREATE TABLE IF NOT EXISTS writers (
    name TEXT PRIMARY KEY,
    next_sequence BIGINT NOT NULL
)
"""


def upgrade() -> None:
    for statement in CHASSIS_DDL:
        op.execute(statement)
    for statement in (
        SUBMISSIONS, WAITING, OF_CUSTOMER, RECEIPTS, OF_BOOKING, CERTIFICATES, WRITERS
    ):  # fmt: skip
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("the ledger only goes forward")
