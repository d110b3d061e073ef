"""The auth service's tables, as its migrations leave them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)

from cinesync.chassis.database.tables import add_chassis_tables

metadata = MetaData()
add_chassis_tables(metadata, with_audit_log=True)
NOW = text("now()")

customers_local = Table(
    "customers_local",
    metadata,
    Column("region", Text, primary_key=True),
    Column("customer_id", Uuid, primary_key=True),
    Column("email", Text, nullable=False),
    Column("email_norm", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("phone", Text),
    Column("role", Text, nullable=False),
    Column("password_hash", Text),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("disabled_at", DateTime(timezone=True)),
    Column("erased_at", DateTime(timezone=True)),
    CheckConstraint(
        "role IN ('customer', 'guest', 'staff', 'manager', 'auditor')",
        name="customers_local_role",
    ),
    Index("customers_local_by_id", "customer_id"),
    Index("customers_local_by_email", "email_norm"),
)

# An account's e-mail is unique over all regions. A UNIQUE constraint on a table partitioned by
# region must contain the region, and so could not promise that; this small table can.
customer_emails = Table(
    "customer_emails",
    metadata,
    Column("email_norm", Text, primary_key=True),
    Column("region", Text, nullable=False),
    Column("customer_id", Uuid, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("address", Text, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("rotated_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("revoked_at", DateTime(timezone=True)),
    Index("sessions_by_customer", "customer_id"),
)

# Ended sessions whose access tokens may still be valid; a guest's session id is the guest's id.
revocations = Table(
    "revocations",
    metadata,
    Column("session_id", Uuid, primary_key=True),
    Column("is_guest", Boolean, nullable=False),
    Column("revoked_at", DateTime(timezone=True), nullable=False, server_default=NOW),
)

# One row per failure, never a counter: a counter row would be the hottest row under attack.
sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("failure_id", Uuid, primary_key=True),
    Column("account_key", Text),
    Column("address", Text, nullable=False),
    Column("failed_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Index("sign_in_failures_by_account", "account_key", "failed_at"),
    Index("sign_in_failures_by_address", "address", "failed_at"),
)

# Links mailed to customers. The table has hashes of the codes, so reading it gives no access.
sign_in_links = Table(
    "sign_in_links",
    metadata,
    Column("code_hash", LargeBinary, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Index("sign_in_links_by_customer", "customer_id"),
)

# Sign-ups and requested links, which count although they succeed. One row each, as with failures.
throttled_actions = Table(
    "throttled_actions",
    metadata,
    Column("action_id", Uuid, primary_key=True),
    Column("action", Text, nullable=False),
    Column("account_key", Text),
    Column("address", Text, nullable=False),
    Column("acted_at", DateTime(timezone=True), nullable=False, server_default=NOW),
    Index("throttled_actions_by_address", "address", "action", "acted_at"),
    Index("throttled_actions_by_account", "account_key", "action", "acted_at"),
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("public_jwk", Text, nullable=False),
    Column("sealed_private", LargeBinary, nullable=False),
    Column("signs_from", DateTime(timezone=True), nullable=False),
    Column("signs_until", DateTime(timezone=True), nullable=False),
    Column("verifies_until", DateTime(timezone=True), nullable=False),
)
