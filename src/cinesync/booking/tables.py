"""The tables of booking. Keys begin with the region, so that tables partition by region."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from cinesync.chassis.database.tables import add_chassis_tables

metadata = MetaData()
add_chassis_tables(metadata, with_audit_log=True)

layouts = Table("layouts", metadata, Column("layout_id", Uuid, primary_key=True))

seats = Table(
    "seats",
    metadata,
    Column("layout_id", Uuid, primary_key=True),
    Column("seat", Text, primary_key=True),
    Column("row_name", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("zone", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("x", Double, nullable=False),
    Column("y", Double, nullable=False),
    Column("run", BigInteger, nullable=False),
    Column("companion_of", Text),
    CheckConstraint("kind IN ('standard', 'recliner', 'wheelchair', 'companion')"),
)

shows = Table(
    "shows",
    metadata,
    Column("region", Text, primary_key=True),
    Column("show_id", Uuid, primary_key=True),
    Column("movie_id", Uuid, nullable=False),
    Column("movie_title", Text, nullable=False),
    Column("theater_id", Uuid, nullable=False),
    Column("theater_name", Text, nullable=False),
    Column("city", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("auditorium_name", Text, nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("format", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("prices_cents", JSONB, nullable=False),
    Column("layout_id", Uuid, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("cancelled", Boolean, nullable=False),
    Column("cancel_reason", Text),
    Column("moves", JSONB, nullable=False, server_default=text("'[]'")),
    Column("sales_close_minutes", BigInteger),
    Index("shows_by_id", "show_id"),
    Index("shows_of_theater", "theater_id", "starts_at"),
)

# Changes that arrived before the show.scheduled of their show.
early_show_changes = Table(
    "early_show_changes",
    metadata,
    Column("region", Text, primary_key=True),
    Column("show_id", Uuid, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("starts_at", DateTime(timezone=True)),
    Column("ends_at", DateTime(timezone=True)),
    Column("prices_cents", JSONB),
    Column("cancelled", Boolean, nullable=False),
    Column("cancel_reason", Text),
    Column("sales_close_minutes", BigInteger),
)

bookings = Table(
    "bookings",
    metadata,
    Column("region", Text, primary_key=True),
    Column("booking_id", Uuid, primary_key=True),
    Column("customer_id", Uuid, nullable=False),
    Column("show_id", Uuid, nullable=False),
    Column("seats", JSONB, nullable=False),
    Column("total_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    Column("extensions", BigInteger, nullable=False),
    Column("payment_id", Uuid),
    Column("payment_failure", Text),
    Column("late", Boolean, nullable=False),
    Column("confirmed_at", DateTime(timezone=True)),
    Column("cancelled_at", DateTime(timezone=True)),
    Column("cancel_reason", Text),
    Column("refund_cents", BigInteger, nullable=False),
    Column("refunded_cents", BigInteger, nullable=False),
    Column("cancelled_seats", JSONB, nullable=False, server_default=text("'[]'")),
    Column("cancel_note", Text),
    # Digests of the e-mail and the client's address, until the hold and its pause have ended.
    Column("email_key", Uuid),
    Column("address_key", Uuid),
    CheckConstraint("total_cents >= 0"),
    CheckConstraint("state IN ('held', 'released', 'expired', 'confirmed', 'cancelled')"),
    CheckConstraint("refund_cents >= 0 AND refund_cents <= total_cents", name="bookings_check"),
    CheckConstraint(
        "(state IN ('confirmed', 'cancelled')) = (payment_id IS NOT NULL)", name="bookings_check1"
    ),
    Index("bookings_by_id", "booking_id"),
    Index("bookings_by_customer", "customer_id", "created_at", "booking_id"),
)
Index("bookings_payment", bookings.c.region, bookings.c.payment_id, unique=True)
Index(
    "bookings_running_out",
    bookings.c.region,
    bookings.c.expires_at,
    postgresql_where=bookings.c.state == "held",
)

Index(
    "bookings_by_email_key",
    bookings.c.email_key,
    postgresql_where=bookings.c.email_key.is_not(None),
)
Index(
    "bookings_by_address_key",
    bookings.c.address_key,
    postgresql_where=bookings.c.address_key.is_not(None),
)

# One row per seat that is held or booked. Its primary key makes each seat sell once (I1).
booking_seats = Table(
    "booking_seats",
    metadata,
    Column("region", Text, nullable=False),
    Column("show_id", Uuid, nullable=False),
    Column("seat", Text, nullable=False),
    Column("booking_id", Uuid, nullable=False),
    Column("state", Text, nullable=False),
    Column("held_until", DateTime(timezone=True), nullable=False),
    CheckConstraint("state IN ('held', 'booked')"),
    # On PostgreSQL: what a show has taken is read from the index alone (migration 0003).
    PrimaryKeyConstraint("region", "show_id", "seat", postgresql_include=["state", "held_until"]),
)

refused_payments = Table(
    "refused_payments",
    metadata,
    Column("payment_id", Uuid, primary_key=True),
    Column("hold_id", Uuid, nullable=False),
    Column("customer_id", Uuid, nullable=False),
    Column("reason", Text, nullable=False),
    Column("refund_cents", BigInteger, nullable=False),
    Column("refunded_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("refused_at", DateTime(timezone=True), nullable=False),
    Index("refused_payments_by_hold", "hold_id"),
)

# The ledger entry that confirms a booking.
booking_receipts = Table(
    "booking_receipts",
    metadata,
    Column("booking_id", Uuid, primary_key=True),
    Column("event_id", Uuid, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("log_index", BigInteger, nullable=False),
)

# Refunds of bookings, each once, under an id that the requester chose.
booking_refunds = Table(
    "booking_refunds",
    metadata,
    Column("refund_id", Uuid, primary_key=True),
    Column("region", Text, nullable=False),
    Column("booking_id", Uuid, nullable=False),
    Column("seats", JSONB, nullable=False),
    Column("refund_cents", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("note", Text),
    Column("actor_id", Uuid, nullable=False),
    Column("refunded_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("refund_cents >= 0"),
    Index("booking_refunds_of_booking", "booking_id"),
)

# Tickets that admit nobody any more. `changes` counts revocations and restorations.
revoked_tickets = Table(
    "revoked_tickets",
    metadata,
    Column("region", Text, primary_key=True),
    Column("show_id", Uuid, primary_key=True),
    Column("booking_id", Uuid, primary_key=True),
    Column("seat", Text, primary_key=True),
    Column("revoked", Boolean, nullable=False),
    Column("changes", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("revoked_at", DateTime(timezone=True), nullable=False),
)

# Admitted seats. The primary key makes each ticket admit once.
admissions = Table(
    "admissions",
    metadata,
    Column("region", Text, primary_key=True),
    Column("booking_id", Uuid, primary_key=True),
    Column("seat", Text, primary_key=True),
    Column("show_id", Uuid, nullable=False),
    Column("scan_id", Uuid, nullable=False),
    Column("gate", Text, nullable=False),
    Column("by_hand", Boolean, nullable=False),
    Column("staff_id", Uuid, nullable=False),
    Column("scanned_at", DateTime(timezone=True), nullable=False),
    Column("admitted_at", DateTime(timezone=True), nullable=False),
)

# Scans that admitted nobody; deleted after a while.
refused_scans = Table(
    "refused_scans",
    metadata,
    Column("refusal_id", Uuid, primary_key=True),
    Column("scan_id", Uuid, nullable=False),
    Column("result", Text, nullable=False),
    Column("booking_id", Uuid),
    Column("seats", JSONB, nullable=False),
    Column("show_id", Uuid),
    Column("gate", Text, nullable=False),
    Column("staff_id", Uuid, nullable=False),
    Column("scanned_at", DateTime(timezone=True), nullable=False),
    Column("refused_at", DateTime(timezone=True), nullable=False),
)
Index("refused_scans_once", refused_scans.c.scan_id, unique=True)
Index("refused_scans_of_show", refused_scans.c.show_id, refused_scans.c.refusal_id)
Index("refused_scans_of_booking", refused_scans.c.booking_id)

# New start times of which not every customer is notified yet.
reschedule_notices = Table(
    "reschedule_notices",
    metadata,
    Column("region", Text, primary_key=True),
    Column("show_id", Uuid, primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("starts_at_before", DateTime(timezone=True), nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("moved_at", DateTime(timezone=True), nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)

# Bookings whose customers were notified of a new start time.
reschedules_told = Table(
    "reschedules_told",
    metadata,
    Column("show_id", Uuid, primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("booking_id", Uuid, primary_key=True),
)

# Disputes that ended in our favour; their events may arrive in any order.
disputes_ended = Table("disputes_ended", metadata, Column("dispute_id", Uuid, primary_key=True))

# Progress of the refunds of whole shows.
show_refunds = Table(
    "show_refunds",
    metadata,
    Column("refund_id", Uuid, primary_key=True),
    Column("region", Text, nullable=False),
    Column("show_id", Uuid, nullable=False),
    Column("note", Text, nullable=False),
    Column("actor_id", Uuid, nullable=False),
    Column("currency", Text, nullable=False),
    Column("bookings_refunded", BigInteger, nullable=False),
    Column("refund_cents", BigInteger, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
)
