"""Seats given back one by one, tickets that end or admit, and shows that move."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

DDL = (
    "ALTER TABLE bookings ADD COLUMN IF NOT EXISTS cancelled_seats JSONB NOT NULL DEFAULT '[]'",
    "ALTER TABLE bookings ADD COLUMN IF NOT EXISTS cancel_note TEXT",
    "ALTER TABLE shows ADD COLUMN IF NOT EXISTS cancel_reason TEXT",
    "ALTER TABLE shows ADD COLUMN IF NOT EXISTS moves JSONB NOT NULL DEFAULT '[]'",
    "ALTER TABLE early_show_changes ADD COLUMN IF NOT EXISTS cancel_reason TEXT",
    "CREATE INDEX IF NOT EXISTS shows_of_theater ON shows (theater_id, starts_at)",
    """CREATE TABLE IF NOT EXISTS booking_refunds (
        refund_id UUID PRIMARY KEY,
        region TEXT NOT NULL,
        booking_id UUID NOT NULL,
        seats JSONB NOT NULL,
        refund_cents BIGINT NOT NULL CHECK (refund_cents >= 0),
        currency TEXT NOT NULL,
        whole BOOLEAN NOT NULL,
        reason TEXT NOT NULL,
        note TEXT,
        actor_id UUID NOT NULL,
        refunded_at TIMESTAMPTZ NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS booking_refunds_of_booking ON booking_refunds (booking_id)",
    """CREATE TABLE IF NOT EXISTS revoked_tickets (
        region TEXT NOT NULL,
        show_id UUID NOT NULL,
        booking_id UUID NOT NULL,
        seat TEXT NOT NULL,
        revoked BOOLEAN NOT NULL,
        changes BIGINT NOT NULL,
        reason TEXT NOT NULL,
        revoked_at TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (region, show_id, booking_id, seat))""",
    """CREATE TABLE IF NOT EXISTS admissions (
        region TEXT NOT NULL,
        booking_id UUID NOT NULL,
        seat TEXT NOT NULL,
        show_id UUID NOT NULL,
        scan_id UUID NOT NULL,
        gate TEXT NOT NULL,
        by_hand BOOLEAN NOT NULL,
        staff_id UUID NOT NULL,
        scanned_at TIMESTAMPTZ NOT NULL,
        admitted_at TIMESTAMPTZ NOT NULL,
        PRIMARY KEY (region, booking_id, seat))""",
    """CREATE TABLE IF NOT EXISTS reschedule_notices (
        region TEXT NOT NULL,
        show_id UUID NOT NULL,
        revision BIGINT NOT NULL,
        starts_at_before TIMESTAMPTZ NOT NULL,
        starts_at TIMESTAMPTZ NOT NULL,
        ends_at TIMESTAMPTZ NOT NULL,
        moved_at TIMESTAMPTZ NOT NULL,
        told_until UUID NOT NULL,
        PRIMARY KEY (region, show_id, revision))""",
)


def upgrade() -> None:
    for statement in DDL:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
