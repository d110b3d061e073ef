"""Undecided payments and refunds that are not done, for `/metrics`."""

from collections.abc import Sequence

from prometheus_client import Gauge

from cinesync.chassis.database import Database
from cinesync.chassis.database.gauges import Labelled, Measure
from cinesync.payment import store
from cinesync.payment.refunds import store as refund_store

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


def measures(db: Database) -> Sequence[Measure]:
    """Two statements over partial indexes."""
    counts, sums, ages = Labelled(PAYMENTS), Labelled(PAYMENTS_SUM), Labelled(PAYMENTS_OLDEST)
    refund_counts, refund_sums = Labelled(REFUNDS), Labelled(REFUNDS_SUM)
    refund_ages = Labelled(REFUNDS_OLDEST)

    async def payments() -> None:
        rows = await db.run_one(store.pending_payments)
        counts.replace({(currency,): count for currency, count, _, _ in rows})
        sums.replace({(currency,): total for currency, _, total, _ in rows})
        ages.replace({(currency,): age for currency, _, _, age in rows})

    async def refunds() -> None:
        rows = await db.run_one(refund_store.open_refunds)
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
