"""Money that waits to be decided or given back, for `/metrics`."""

from collections.abc import Sequence

from prometheus_client import Gauge

from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.database.gauges import Labelled, Measure

PAYMENTS = Gauge("cinesync_payments_pending", "Payments not decided yet.", ["currency"])
PAYMENTS_SUM = Gauge(
    "cinesync_payments_pending_minor_units", "Their sum, in minor units (ISO 4217).", ["currency"]
)
PAYMENTS_OLDEST = Gauge(
    "cinesync_payments_pending_oldest_seconds", "Age of the oldest of them.", ["currency"]
)
REFUNDS = Gauge("cinesync_refunds_pending", "Refunds not made yet, by how far.", ["status"])
REFUNDS_SUM = Gauge(
    "cinesync_refunds_pending_minor_units", "Their sum, in minor units (ISO 4217).", ["currency"]
)
REFUNDS_OLDEST = Gauge(
    "cinesync_refunds_pending_oldest_seconds", "Age of the oldest of them, by how far.", ["status"]
)

# Each part has a partial index: the books of years are not read.
OPEN = "status = 'pending' OR status = 'submitted' OR status IN ('needs_attention', 'failed')"


def measures(db: Database) -> Sequence[Measure]:
    """Two statements over partial indexes and a short list."""
    counts, sums, ages = Labelled(PAYMENTS), Labelled(PAYMENTS_SUM), Labelled(PAYMENTS_OLDEST)
    refund_counts, refund_sums = Labelled(REFUNDS), Labelled(REFUNDS_SUM)
    refund_ages = Labelled(REFUNDS_OLDEST)

    async def payments() -> None:
        rows = await db.run_one(pending_payments)
        counts.replace({(currency,): count for currency, count, _, _ in rows})
        sums.replace({(currency,): total for currency, _, total, _ in rows})
        ages.replace({(currency,): age for currency, _, _, age in rows})

    async def refunds() -> None:
        rows = await db.run_one(open_refunds)
        by_status: dict[tuple[str, ...], float] = {}
        by_currency: dict[tuple[str, ...], float] = {}
        oldest: dict[tuple[str, ...], float] = {}
        for status, currency, count, total, age in rows:
            by_status[status,] = by_status.get((status,), 0) + count
            by_currency[currency,] = by_currency.get((currency,), 0) + total
            oldest[status,] = max(oldest.get((status,), 0.0), age)
        refund_counts.replace(by_status)
        refund_sums.replace(by_currency)
        refund_ages.replace(oldest)

    return [payments, refunds]


async def pending_payments(tx: Transaction) -> list[tuple[str, int, int, float]]:
    """Currency, count, sum and age of the oldest in seconds."""
    statement = text(
        "SELECT currency, count(*) AS payments, CAST(sum(amount_cents) AS bigint) AS total,"
        " CAST(EXTRACT(EPOCH FROM now() - min(created_at)) AS double precision) AS oldest"
        " FROM payments WHERE status = 'pending' GROUP BY currency"
    )
    rows = await tx.execute(statement)
    return [(row.currency, row.payments, row.total, max(row.oldest, 0.0)) for row in rows]


async def open_refunds(tx: Transaction) -> list[tuple[str, str, int, int, float]]:
    """Status, currency, count, sum and age of the oldest in seconds."""
    statement = text(
        "SELECT status, currency, count(*) AS refunds,"  # noqa: S608 a constant
        " CAST(sum(amount_cents) AS bigint) AS total,"
        " CAST(EXTRACT(EPOCH FROM now() - min(created_at)) AS double precision) AS oldest"
        f" FROM refunds WHERE {OPEN} GROUP BY status, currency"
    )
    rows = await tx.execute(statement)
    return [
        (row.status, row.currency, row.refunds, row.total, max(row.oldest, 0.0)) for row in rows
    ]
