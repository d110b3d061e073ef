"""Scans that let nobody in, for a while."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

STEPS = (
    """CREATE TABLE IF NOT EXISTS refused_scans (
    refusal_id UUID PRIMARY KEY,
    scan_id UUID NOT NULL,
    result TEXT NOT NULL,
    booking_id UUID,
    seats JSONB NOT NULL,
    show_id UUID,
    gate TEXT NOT NULL,
    staff_id UUID NOT NULL,
    scanned_at TIMESTAMPTZ NOT NULL,
    refused_at TIMESTAMPTZ NOT NULL)""",
    "CREATE UNIQUE INDEX IF NOT EXISTS refused_scans_once ON refused_scans (scan_id)",
    "CREATE INDEX IF NOT EXISTS refused_scans_of_show ON refused_scans (show_id, refusal_id)",
    "CREATE INDEX IF NOT EXISTS refused_scans_of_booking ON refused_scans (booking_id)",
)


def upgrade() -> None:
    for step in STEPS:
        op.execute(step)


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
