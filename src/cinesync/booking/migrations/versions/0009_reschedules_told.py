"""Who is told of a move: also those who pay after it for seats chosen before it."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DDL = (
    "ALTER TABLE reschedule_notices"
    " ADD COLUMN IF NOT EXISTS due_at TIMESTAMPTZ NOT NULL DEFAULT now()",
    "ALTER TABLE reschedule_notices DROP COLUMN IF EXISTS told_until",
    """CREATE TABLE IF NOT EXISTS reschedules_told (
        show_id UUID NOT NULL,
        revision BIGINT NOT NULL,
        booking_id UUID NOT NULL,
        PRIMARY KEY (show_id, revision, booking_id))""",
)


def upgrade() -> None:
    for statement in DDL:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
