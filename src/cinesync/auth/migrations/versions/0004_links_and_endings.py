"""Sign-in links, actions that are counted, and accounts that are disabled or erased."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DDL = (
    "ALTER TABLE customers_local ADD COLUMN IF NOT EXISTS disabled_at TIMESTAMPTZ",
    "ALTER TABLE customers_local ADD COLUMN IF NOT EXISTS erased_at TIMESTAMPTZ",
    "CREATE INDEX IF NOT EXISTS customers_local_by_email ON customers_local (email_norm)",
    "CREATE TABLE IF NOT EXISTS sign_in_links ("
    " code_hash BYTEA PRIMARY KEY, customer_id UUID NOT NULL,"
    " created_at TIMESTAMPTZ NOT NULL DEFAULT now(), expires_at TIMESTAMPTZ NOT NULL)",
    "CREATE INDEX IF NOT EXISTS sign_in_links_by_customer ON sign_in_links (customer_id)",
    "CREATE TABLE IF NOT EXISTS throttled_actions ("
    " action_id UUID PRIMARY KEY, action TEXT NOT NULL, account_key TEXT, address TEXT NOT NULL,"
    " acted_at TIMESTAMPTZ NOT NULL DEFAULT now())",
    "CREATE INDEX IF NOT EXISTS throttled_actions_by_address"
    " ON throttled_actions (address, action, acted_at)",
    "CREATE INDEX IF NOT EXISTS throttled_actions_by_account"
    " ON throttled_actions (account_key, action, acted_at)",
)


def upgrade() -> None:
    """Idempotent, one statement at a time."""
    for statement in DDL:
        op.execute(statement)


def downgrade() -> None:
    """There is no way back: it would delete data."""
    raise NotImplementedError
