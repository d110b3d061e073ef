"""The first start time of a moved show, and when the sale of a show closes."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE shows ADD COLUMN IF NOT EXISTS announced_at TIMESTAMPTZ")
    op.execute("ALTER TABLE shows ADD COLUMN IF NOT EXISTS sales_close_minutes BIGINT")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
