"""Metrics that several modules of the chassis share; others stand beside what they measure."""

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

HTTP_SECONDS = Histogram(
    "cinesync_http_seconds",
    "Time to answer a request.",
    ["service", "method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
DATABASE_RETRIES = Counter(
    "cinesync_database_retries_total", "Transactions begun again, by reason.", ["reason"]
)
EVENTS_RELAYED = Counter("cinesync_events_relayed_total", "Outbox rows delivered.", ["service"])
EVENTS_WAITING = Gauge("cinesync_events_waiting", "Outbox rows of the last look.", ["service"])
EVENTS_HANDLED = Counter("cinesync_events_handled_total", "Events consumed.", ["queue", "outcome"])
BATCH_SIZE = Histogram(
    "cinesync_batch_size",
    "Commands in one transaction.",
    ["batcher"],
    buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500),
)


# prometheus_client looks a child up under a lock each time, after making texts of all labels.
@cache
def http_seconds(service: str, method: str, route: str, status: int) -> Histogram:
    """HTTP_SECONDS with these labels; the metric stores each of them anyway."""
    return HTTP_SECONDS.labels(service, method, route, str(status))
