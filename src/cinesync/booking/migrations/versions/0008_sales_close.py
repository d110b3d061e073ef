"""When the sale of a single show closes."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE shows ADD COLUMN IF NOT EXISTS sales_close_minutes BIGINT")
    op.execute("ALTER TABLE early_show_changes ADD COLUMN IF NOT EXISTS sales_close_minutes BIGINT")


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
