"""What the tables say: which figures, next to what, and the targets."""

from collections.abc import Mapping, Sequence

from bench.report import Row, Target

ROWS: Sequence[Row] = (
    Row("holds answered/s, spread over all shows", "holds.spread.closed.per_second"),
    Row("p99 of a hold at the open loop's rate, spread", "holds.spread.open.latency.p99_ms", "ms"),
    Row("attempts answered/s, all on one show", "holds.one_show.closed.per_second"),
    Row("p99 of an attempt, all on one show", "holds.one_show.open.latency.p99_ms", "ms"),
    Row("complete purchases/s, ledger included", "purchases.closed.per_second"),
    Row("purchases/s of the open loop", "purchases.open.rate"),
    Row("p50 of a hold in a purchase, open loop", "purchases.open.hold.p50_ms", "ms"),
    Row("p99 of a hold in a purchase, open loop", "purchases.open.hold.p99_ms", "ms"),
    Row("p50 of a payment, open loop", "purchases.open.pay.p50_ms", "ms"),
    Row("p99 of a payment, open loop", "purchases.open.pay.p99_ms", "ms"),
    Row("ledger alone, entries/s, final on 4 durable validators", "ledger.entries_per_second"),
    Row("ledger alone, commit p50", "ledger.commit_p50_ms", "ms"),
    Row("ledger alone, commit p99", "ledger.commit_p99_ms", "ms"),
    Row("ledger, primary killed: next entry final after", "ledger.failover_p50_s", "s"),
    Row("a receipt's size", "ledger.receipt_bytes", "bytes"),
    Row("a receipt's verification", "ledger.verify_ms", "ms"),
    Row("first start, with the demo chain", "start.first_seconds", "s"),
)

CPU: Mapping[str, str] = {
    "hold, spread, closed loop": "holds.spread.closed.cpu_ms_each",
    "attempt on one show, closed loop": "holds.one_show.closed.cpu_ms_each",
    "purchase, closed loop": "purchases.closed.cpu_ms_each",
    "purchase, open loop": "purchases.open.cpu_ms_each",
}

TARGETS: Sequence[Target] = (
    Target("holds/s, spread", "holds.spread.closed.per_second", "≥", 5_000),
    Target("attempts answered/s, one hot show", "holds.one_show.closed.per_second", "≥", 5_000),
    Target("p99 of a hold at 2,000/s", "holds.spread.open.latency.p99_ms", "≤", 100, "ms"),
    Target("complete purchases/s", "purchases.closed.per_second", "≥", 1_000),
    Target("CPU-ms for a purchase", "purchases.closed.cpu_ms_each.all", "≤", 1.5),
    Target("p99 of a hold at 500 purchases/s", "purchases.open.hold.p99_ms", "≤", 250, "ms"),
    Target("p99 of a payment at 500 purchases/s", "purchases.open.pay.p99_ms", "≤", 250, "ms"),
)
