"""One mailbox, one `email_norm`: case folded, the domain in ASCII.

Where another account has the new norm already, an account keeps its old one: sign-in looks for
the exact spelling first, so both accounts stay usable, and nobody can register a third.
"""

from alembic import op
from sqlalchemy import text

from cinesync.auth.fields import fold_email

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PAGE = 1_000
# Only letters beyond ASCII were folded in another way.
FIND = text(
    "SELECT email_norm, customer_id FROM customer_emails"
    " WHERE octet_length(email_norm) <> char_length(email_norm)"
    " AND email_norm > CAST(:after AS text)"
    " ORDER BY email_norm ASC LIMIT CAST(:limit AS bigint)"
)
MOVE = text(
    "UPDATE customer_emails SET email_norm = CAST(:norm AS text)"
    " WHERE email_norm = CAST(:old AS text) AND NOT EXISTS (SELECT 1 FROM customer_emails AS other"
    " WHERE other.email_norm = CAST(:norm AS text))"
)
NOTE = text(
    "UPDATE customers_local SET email_norm = CAST(:norm AS text)"
    " WHERE customer_id = CAST(:customer_id AS uuid)"
)


def upgrade() -> None:
    """After a crash, a second run finds the remaining rows."""
    connection = op.get_bind()
    after = ""
    while rows := connection.execute(FIND, {"after": after, "limit": PAGE}).all():
        for row in rows:
            norm = _norm(row.email_norm)
            if norm == row.email_norm:
                continue
            if connection.execute(MOVE, {"norm": norm, "old": row.email_norm}).rowcount:
                connection.execute(NOTE, {"norm": norm, "customer_id": row.customer_id})
        after = rows[-1].email_norm


def _norm(old: str) -> str:
    try:
        return fold_email(old).norm
    except ValueError:  # an address of older rules
        return old


def downgrade() -> None:
    """There is no way back: it would delete data."""
    raise NotImplementedError
