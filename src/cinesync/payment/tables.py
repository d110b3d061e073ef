"""The tables of the payment database, as the migrations make them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)

from cinesync.chassis.database.tables import add_chassis_tables

metadata = MetaData()
add_chassis_tables(metadata, with_audit_log=True)

Timestamp = DateTime(timezone=True)

payments = Table(
    "payments",
    metadata,
    Column("payment_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("idempotency_key", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("hold_id", Uuid, nullable=False),
    Column("hold_expires_at", Timestamp, nullable=False),
    Column("provider", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("charge_id", Text, nullable=False, server_default=text("''")),
    Column("failure_reason", Text, nullable=False, server_default=text("''")),
    Column("confirm_url", Text, nullable=False, server_default=text("''")),
    Column("refund_asked_cents", BigInteger, nullable=False, server_default=text("0")),
    Column("refunded_cents", BigInteger, nullable=False, server_default=text("0")),
    Column("trace", Text, nullable=False, server_default=text("''")),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("settled_at", Timestamp),
    Column("checks", BigInteger, nullable=False, server_default=text("0")),
    Column("next_check_at", Timestamp, nullable=False),
    Column("occupies_hold", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("customer_id", "idempotency_key", name="payments_key"),
    CheckConstraint(
        "status IN ('pending', 'success', 'failed', 'partially_refunded', 'refunded')",
        name="payments_status",
    ),
    CheckConstraint(
        "refunded_cents >= 0 AND refunded_cents <= refund_asked_cents"
        " AND refund_asked_cents <= amount_cents",
        name="payments_refunds",
    ),
)
Index("payments_of_customer", payments.c.customer_id, payments.c.created_at, payments.c.payment_id)
Index("payments_of_hold", payments.c.hold_id)
Index(
    "payments_one_per_hold",
    payments.c.hold_id,
    unique=True,
    postgresql_where=text("occupies_hold"),
)
Index(
    "payments_pending",
    payments.c.provider,
    payments.c.next_check_at,
    postgresql_where=text("status = 'pending'"),
)

captures = Table(
    "captures",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("charge_id", Text, primary_key=True),
    Column("payment_id", Uuid, ForeignKey("payments.payment_id"), nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("surplus", Boolean, nullable=False),
    Column("captured_at", Timestamp, nullable=False, server_default=func.now()),
)
Index("captures_of_payment", captures.c.payment_id)

refunds = Table(
    "refunds",
    metadata,
    Column("refund_id", Uuid, primary_key=True),
    Column("source", Text, nullable=False, unique=True),
    Column("payment_id", Uuid, ForeignKey("payments.payment_id"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("charge_id", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("surplus", Boolean, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'pending'")),
    Column("attempts", BigInteger, nullable=False, server_default=text("0")),
    Column("next_attempt_at", Timestamp, nullable=False, server_default=func.now()),
    Column("last_error", Text, nullable=False, server_default=text("''")),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("done_at", Timestamp),
    Column("provider_refund_id", Text, nullable=False, server_default=text("''")),
    Column("unasked_cents", BigInteger, nullable=False, server_default=text("0")),
    Column("changed_at", Timestamp),
    CheckConstraint("amount_cents > 0", name="refunds_amount"),
)
Index("refunds_of_payment", refunds.c.payment_id)
Index(
    "refunds_pending",
    refunds.c.provider,
    refunds.c.next_attempt_at,
    postgresql_where=text("status = 'pending'"),
)

Index(
    "refunds_at_provider",
    refunds.c.provider,
    refunds.c.provider_refund_id,
    unique=True,
    postgresql_where=text("provider_refund_id <> ''"),
)
Index(
    "refunds_submitted",
    refunds.c.provider,
    refunds.c.next_attempt_at,
    postgresql_where=text("status = 'submitted'"),
)
Index(
    "refunds_for_people",
    refunds.c.payment_id,
    postgresql_where=text("status IN ('needs_attention', 'failed')"),
)

disputes = Table(
    "disputes",
    metadata,
    Column("dispute_id", Uuid, primary_key=True),
    Column("payment_id", Uuid, ForeignKey("payments.payment_id"), nullable=False),
    Column("provider", Text, nullable=False),
    Column("provider_dispute_id", Text, nullable=False),
    Column("charge_id", Text, nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("due_at", Timestamp),
    Column("created_at", Timestamp, nullable=False, server_default=func.now()),
    Column("changed_at", Timestamp, nullable=False, server_default=func.now()),
    UniqueConstraint("provider", "provider_dispute_id", name="disputes_at_provider"),
    CheckConstraint(
        "status IN ('inquiry', 'open', 'won', 'lost', 'closed', 'prevented')",
        name="disputes_status",
    ),
)
Index("disputes_of_payment", disputes.c.payment_id)
Index(
    "disputes_undecided",
    disputes.c.payment_id,
    postgresql_where=text("status IN ('inquiry', 'open')"),
)

refund_failures = Table(
    "refund_failures",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("refund_id", Uuid, ForeignKey("refunds.refund_id"), nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("was_refunded", Boolean, nullable=False),
    Column("failed_at", Timestamp, nullable=False),
)
Index("refund_failures_of_refund", refund_failures.c.refund_id)

dispute_changes = Table(
    "dispute_changes",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("dispute_id", Uuid, ForeignKey("disputes.dispute_id"), nullable=False),
    Column("amount_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("changed_at", Timestamp, nullable=False),
)
Index("dispute_changes_of_dispute", dispute_changes.c.dispute_id)

provider_events = Table(
    "provider_events",
    metadata,
    Column("provider", Text, primary_key=True),
    Column("provider_event_id", Text, primary_key=True),
    Column("payment_id", Uuid, nullable=False),
    Column("received_at", Timestamp, nullable=False, server_default=func.now()),
)
