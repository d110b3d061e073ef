"""Accounts, sessions, failures and signing keys."""

from alembic import op

from cinesync.chassis.database import migrations

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DDL = (
    "CREATE TABLE IF NOT EXISTS customers_local ("
    " region TEXT NOT NULL, customer_id UUID NOT NULL,"
    " email TEXT NOT NULL, email_norm TEXT NOT NULL, name TEXT NOT NULL, phone TEXT,"
    " role TEXT NOT NULL CONSTRAINT customers_local_role"
    " CHECK (role IN ('customer', 'guest', 'staff', 'manager', 'auditor')),"
    " password_hash TEXT,"
    " created_at TIMESTAMPTZ NOT NULL DEFAULT now(),"
    " updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),"
    " PRIMARY KEY (region, customer_id))",
    "CREATE INDEX IF NOT EXISTS customers_local_by_id ON customers_local (customer_id)",
    "CREATE TABLE IF NOT EXISTS customer_emails ("
    " email_norm TEXT PRIMARY KEY, region TEXT NOT NULL, customer_id UUID NOT NULL)",
    "CREATE TABLE IF NOT EXISTS sessions ("
    " session_id UUID PRIMARY KEY, customer_id UUID NOT NULL, address TEXT NOT NULL,"
    " generation BIGINT NOT NULL,"
    " created_at TIMESTAMPTZ NOT NULL DEFAULT now(),"
    " rotated_at TIMESTAMPTZ NOT NULL DEFAULT now(),"
    " expires_at TIMESTAMPTZ NOT NULL, revoked_at TIMESTAMPTZ)",
    "CREATE INDEX IF NOT EXISTS sessions_by_customer ON sessions (customer_id)",
    "CREATE TABLE IF NOT EXISTS sign_in_failures ("
    " failure_id UUID PRIMARY KEY, account_key TEXT, address TEXT NOT NULL,"
    " failed_at TIMESTAMPTZ NOT NULL DEFAULT now())",
    "CREATE INDEX IF NOT EXISTS sign_in_failures_by_account"
    " ON sign_in_failures (account_key, failed_at)",
    "CREATE INDEX IF NOT EXISTS sign_in_failures_by_address"
    " ON sign_in_failures (address, failed_at)",
    "CREATE TABLE IF NOT EXISTS signing_keys ("
    " number BIGINT PRIMARY KEY, public_jwk TEXT NOT NULL, sealed_private BYTEA NOT NULL,"
    " signs_from TIMESTAMPTZ NOT NULL, signs_until TIMESTAMPTZ NOT NULL,"
    " verifies_until TIMESTAMPTZ NOT NULL)",
)


def upgrade() -> None:
    """Idempotent, one statement at a time."""
    for statement in (*migrations.CHASSIS_DDL, *DDL):
        op.execute(statement)


def downgrade() -> None:
    """There is no way back: it would delete data."""
    raise NotImplementedError
