"""One open or captured payment for each hold, and payments of nothing for free shows.

Payments from before this revision occupy no hold: some holds had several, and the index would not
be made. Booking accepts only one of them, as before. That amounts are not negative follows from
`payments_refunds`, which stays.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STEPS = (
    "ALTER TABLE payments ADD COLUMN IF NOT EXISTS occupies_hold BOOLEAN NOT NULL DEFAULT false",
    "CREATE UNIQUE INDEX IF NOT EXISTS payments_one_per_hold ON payments (hold_id)"
    " WHERE occupies_hold",
    "ALTER TABLE payments DROP CONSTRAINT IF EXISTS payments_amount",
)


def upgrade() -> None:
    """Each step may run again."""
    for step in STEPS:
        op.execute(step)


def downgrade() -> None:
    """Money is not forgotten."""
    raise NotImplementedError
