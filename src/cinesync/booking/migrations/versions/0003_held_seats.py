"""Which seats are held, and until when: few at any time, among all that were ever sold."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX IF NOT EXISTS booking_seats_held"
        " ON booking_seats (region, show_id, held_until) WHERE state = 'held'"
    )


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
