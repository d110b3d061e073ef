"""An index for the languages of shows, so that not every show is read."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX IF NOT EXISTS shows_by_language ON shows (language, movie_id, starts_at)"
        " WHERE status = 'scheduled'"
    )


def downgrade() -> None:
    raise NotImplementedError
