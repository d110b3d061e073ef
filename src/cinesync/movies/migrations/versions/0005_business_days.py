"""The start of a theater's business day: a show at 00:30 belongs to the day before."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE theaters ADD COLUMN IF NOT EXISTS day_starts_minutes BIGINT NOT NULL"
        " DEFAULT 360 CONSTRAINT theaters_day_starts"
        " CHECK (day_starts_minutes >= 0 AND day_starts_minutes <= 720)"
    )


def downgrade() -> None:
    raise NotImplementedError
