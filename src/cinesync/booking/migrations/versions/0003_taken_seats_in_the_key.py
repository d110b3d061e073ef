"""Which seats of a show are taken is read from the key alone, not from a page for each seat.

CockroachDB has whole rows in its primary keys anyway.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_context().dialect.name != "postgresql":
        return
    op.execute(
        "CREATE UNIQUE INDEX IF NOT EXISTS booking_seats_taken"
        " ON booking_seats (region, show_id, seat) INCLUDE (state, held_until)"
    )
    # The index is called booking_seats_pkey from here on.
    op.execute(
        "ALTER TABLE booking_seats DROP CONSTRAINT booking_seats_pkey,"
        " ADD CONSTRAINT booking_seats_pkey PRIMARY KEY USING INDEX booking_seats_taken"
    )


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
