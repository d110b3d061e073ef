"""Who holds seats, as far as limits need it: digests of the e-mail and the client's address.

They are there while a hold is alive and for a pause after it; so the indexes stay small.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

DDL = (
    "ALTER TABLE bookings ADD COLUMN IF NOT EXISTS email_key UUID",
    "ALTER TABLE bookings ADD COLUMN IF NOT EXISTS address_key UUID",
    "CREATE INDEX IF NOT EXISTS bookings_by_email_key ON bookings (email_key)"
    " WHERE email_key IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS bookings_by_address_key ON bookings (address_key)"
    " WHERE address_key IS NOT NULL",
)


def upgrade() -> None:
    for statement in DDL:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("Migrations go forward only.")
