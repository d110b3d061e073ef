"""Ended sessions whose access tokens may still be valid."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        "CREATE TABLE IF NOT EXISTS revocations ("
        " session_id UUID PRIMARY KEY, is_guest BOOLEAN NOT NULL,"
        " revoked_at TIMESTAMPTZ NOT NULL DEFAULT now())"
    )


def downgrade() -> None:
    raise NotImplementedError
