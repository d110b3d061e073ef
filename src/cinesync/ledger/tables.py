"""The tables of the ledger service's database."""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    func,
    text,
)

from cinesync.chassis.database.tables import add_chassis_tables

metadata = MetaData()
add_chassis_tables(metadata, with_audit_log=False)

WITH_TIME_ZONE = DateTime(timezone=True)

submissions = Table(
    "submissions",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("booking_id", Uuid, nullable=False),
    Column("customer_id", Uuid),
    Column("salt", LargeBinary),
    Column("entry", LargeBinary, nullable=False),
    Column("occurred_at", WITH_TIME_ZONE, nullable=False),
    Column("submitted_at", WITH_TIME_ZONE, nullable=False, server_default=func.now()),
    Column("batch_id", Uuid, nullable=False),
)
Index("submissions_of_customer", submissions.c.customer_id)

# The events of a batch go into one request, so `height` is here and a submission is written once.
batches = Table(
    "batches",
    metadata,
    Column("batch_id", Uuid, primary_key=True),
    Column("event_ids", ARRAY(Uuid), nullable=False),
    Column("recorded_at", WITH_TIME_ZONE, nullable=False, server_default=func.now()),
    Column("height", BigInteger),
)
Index(
    "batches_waiting",
    batches.c.recorded_at,
    batches.c.batch_id,
    postgresql_where=text("height IS NULL"),
)

# Late events of these customers are recorded without salt and customer.
erased_customers = Table(
    "erased_customers",
    metadata,
    Column("customer_id", Uuid, primary_key=True),
    Column("erased_at", WITH_TIME_ZONE, nullable=False, server_default=func.now()),
)

receipts = Table(
    "receipts",
    metadata,
    Column("event_id", Uuid, ForeignKey("submissions.event_id"), primary_key=True),
    Column("booking_id", Uuid, nullable=False),
    Column("height", BigInteger, nullable=False),
    Column("log_index", BigInteger, nullable=False),
    Column("receipt", Text, nullable=False),
    Column("made_at", WITH_TIME_ZONE, nullable=False, server_default=func.now()),
)
Index("receipts_of_booking", receipts.c.booking_id, receipts.c.log_index)

certificates = Table(
    "certificates",
    metadata,
    Column("height", BigInteger, primary_key=True, autoincrement=False),
    Column("header", Text, nullable=False),
    Column("certificate", Text, nullable=False),
    Column("peaks", LargeBinary),
    Column("leaves", LargeBinary),
)

writers = Table(
    "writers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("next_sequence", BigInteger, nullable=False),
)
