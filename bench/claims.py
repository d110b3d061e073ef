"""What the tables say: which figures, next to what, and the targets."""

from collections.abc import Mapping, Sequence

from bench.report import Row, Target

STEADY = "purchases.open"
CLAIMS = "ceiling.single_claims_per_second"

ROWS: Sequence[Row] = (
    Row(
        "holds answered/s, spread over all shows",
        "holds.spread.closed.per_second",
        ceiling=CLAIMS,
        baseline="baseline.holds.per_second",
    ),
    Row("attempts answered/s, all on one show", "holds.one_show.closed.per_second", ceiling=CLAIMS),
    Row("rate of the next three, holds/s", "holds.spread.open.rate"),
    Row("p50 of a hold, spread", "holds.spread.open.latency.p50_ms", "ms"),
    Row("p99 of a hold, spread", "holds.spread.open.latency.p99_ms", "ms"),
    Row("p99 of an attempt, all on one show", "holds.one_show.open.latency.p99_ms", "ms"),
    Row(
        "complete purchases/s, ledger included",
        "purchases.closed.per_second",
        baseline="baseline.purchases.per_second",
        ceiling=CLAIMS,
    ),
    Row("rate of the next six, purchases/s", f"{STEADY}.rate", baseline="baseline.steady.rate"),
    Row("p50 of a hold", f"{STEADY}.hold.p50_ms", "ms", baseline="baseline.steady.hold.p50_ms"),
    Row("p99 of a hold", f"{STEADY}.hold.p99_ms", "ms", baseline="baseline.steady.hold.p99_ms"),
    Row("p50 of a payment", f"{STEADY}.pay.p50_ms", "ms", baseline="baseline.steady.pay.p50_ms"),
    Row("p99 of a payment", f"{STEADY}.pay.p99_ms", "ms", baseline="baseline.steady.pay.p99_ms"),
    Row("payment answered → seen confirmed, p50", f"{STEADY}.seen.confirmed.p50_ms", "ms"),
    Row("payment answered → seen in the ledger, p50", f"{STEADY}.seen.in_ledger.p50_ms", "ms"),
    Row(
        "hot show: sold out after",
        "hot.sold_out_seconds",
        "s",
        baseline="baseline.hot.sold_out_seconds",
    ),
    Row("hot show: p50 answer", "hot.answer.p50_ms", "ms", baseline="baseline.hot.answer.p50_ms"),
    Row("hot show: p99 answer", "hot.answer.p99_ms", "ms", baseline="baseline.hot.answer.p99_ms"),
    Row(
        "hot show: slowest answer", "hot.answer.max_ms", "ms", baseline="baseline.hot.answer.max_ms"
    ),
    Row("hot show: sold twice", "hot.sold_twice", baseline="baseline.hot.sold_twice"),
    Row(
        "hot show: unsold while somebody was refused",
        "hot.unsold_while_refused",
        baseline="baseline.hot.unsold_while_refused",
    ),
    Row("seat maps/s, cached", "seat_maps.cached.per_second"),
    Row("seat maps/s, unchanged (304)", "seat_maps.unchanged.per_second"),
    Row("seat map nobody looked at, p50", "seat_maps.cold.latency.p50_ms", "ms"),
    Row("seat map nobody looked at, p99", "seat_maps.cold.latency.p99_ms", "ms"),
    Row("listeners of one show", "live.listeners"),
    Row("seat asked for → a listener, p50", "live.heard.p50_ms", "ms"),
    Row("seat asked for → a listener, p99", "live.heard.p99_ms", "ms"),
    Row("seat asked for → the last listener, p50", "live.last.p50_ms", "ms"),
    Row("seat asked for → the last listener, slowest", "live.last.max_ms", "ms"),
    Row("home pages/s", "pages.home.per_second"),
    Row("movie pages/s", "pages.movie.per_second"),
    Row("seat map pages/s", "pages.seats.per_second"),
    Row("home pages/s, signed in", "pages.home_signed_in.per_second"),
    Row("movie pages/s, signed in", "pages.movie_signed_in.per_second"),
    Row("seat map pages/s, signed in", "pages.seats_signed_in.per_second"),
    Row("seat map pages/s, of shows nobody looked at", "pages.seats_cold.per_second"),
    Row("the same on RabbitMQ, one process: purchases/s", "rabbitmq.closed.per_second"),
    Row("the same on RabbitMQ, split behind Caddy: purchases/s", "split.closed.per_second"),
    Row("on RabbitMQ: p99 of a payment", "rabbitmq.open.pay.p99_ms", "ms"),
    Row("split: p99 of a payment", "split.open.pay.p99_ms", "ms"),
    Row("split: start", "split.start_seconds", "s"),
    Row("ledger alone, entries/s, final on 4 durable validators", "ledger.entries_per_second"),
    Row("ledger alone, commit p50", "ledger.commit_p50_ms", "ms"),
    Row("ledger alone, commit p99", "ledger.commit_p99_ms", "ms"),
    Row("ledger, primary killed: next entry final after", "ledger.failover_p50_s", "s"),
    Row("a receipt's size", "ledger.receipt_bytes", "bytes"),
    Row("a receipt's verification", "ledger.verify_ms", "ms"),
    Row("first start, with the demo chain", "start.first_seconds", "s"),
    Row("later start", "start.second_seconds", "s"),
    Row("PostgreSQL: claims/s by pgbench", "ceiling.pgbench_claims_per_second"),
    Row("PostgreSQL: single claims/s by asyncpg", CLAIMS),
    Row("PostgreSQL: claims/s by asyncpg, 100 a statement", "ceiling.batched_claims_per_second"),
)

CPU: Mapping[str, str] = {
    "hold, spread, closed loop": "holds.spread.closed.cpu_ms_each",
    "attempt on one show, closed loop": "holds.one_show.closed.cpu_ms_each",
    "purchase, closed loop": "purchases.closed.cpu_ms_each",
    "purchase, open loop": "purchases.open.cpu_ms_each",
    "purchase, the baseline's": "baseline.purchases.cpu_ms_each",
    "buyer at the hot show": "hot.cpu_ms_each",
    "seat map, cached": "seat_maps.cached.cpu_ms_each",
    "seat map, unchanged (304)": "seat_maps.unchanged.cpu_ms_each",
    "home page": "pages.home.cpu_ms_each",
    "movie page": "pages.movie.cpu_ms_each",
    "seat map page": "pages.seats.cpu_ms_each",
    "home page, signed in": "pages.home_signed_in.cpu_ms_each",
    "movie page, signed in": "pages.movie_signed_in.cpu_ms_each",
    "seat map page, signed in": "pages.seats_signed_in.cpu_ms_each",
    "seat map page nobody looked at": "pages.seats_cold.cpu_ms_each",
    "change at one listener": "live.cpu_ms_each",
    "purchase, split on RabbitMQ": "split.closed.cpu_ms_each",
    "purchase, one process on RabbitMQ": "rabbitmq.closed.cpu_ms_each",
}

PROCESSORS: Mapping[str, str] = {
    "holds, spread, closed loop": "holds.spread.closed",
    "attempts on one show, closed loop": "holds.one_show.closed",
    "the hot show": "hot",
    "purchases, closed loop": "purchases.closed",
    "purchases, open loop": "purchases.open",
    "purchases, the baseline's": "baseline.purchases",
    "seat maps, cached": "seat_maps.cached",
    "seat maps, unchanged (304)": "seat_maps.unchanged",
    "purchases, split on RabbitMQ": "split.closed",
}

LEVELS = ("100", "10000", "100000")
GROWTH: Mapping[str, str] = {
    "shows": "shows",
    "sold seats": "sold_seats",
    "purchases/s": "per_second",
    "CPU-ms for a purchase": "cpu_ms_each.all",
    "PostgreSQL's part of it": "cpu_ms_each.postgres",
    "p50 of a hold, ms": "hold.p50_ms",
    "p99 of a hold, ms": "hold.p99_ms",
    "CPU-ms for a list of films": "lists.films.cpu_ms_each.all",
    "CPU-ms for the filters": "lists.filters.cpu_ms_each.all",
    "CPU-ms for the next show": "lists.next_show.cpu_ms_each.all",
    "CPU-ms a second, idle": "idle_cpu_ms_per_second.all",
    "start, s": "start_seconds",
    "shop's memory, MB": "memory_mb.shop",
    "PostgreSQL's memory, MB": "memory_mb.postgres",
    "booking's database, MB": "booking_database_mb",
    "written by SQL in, s": "written_seconds",
}

AT_2000 = ("holds.spread.open.rate", 2_000.0)
ONE_SHOW_AT_2000 = ("holds.one_show.open.rate", 2_000.0)
AT_500 = (f"{STEADY}.rate", 500.0)

TARGETS: Sequence[Target] = (
    Target("holds/s, spread", "holds.spread.closed.per_second", "≥", 5_000),
    Target("attempts answered/s, one hot show", "holds.one_show.closed.per_second", "≥", 5_000),
    Target(
        "p99 of a hold at 2,000/s, spread",
        "holds.spread.open.latency.p99_ms",
        "≤",
        100,
        "ms",
        given=AT_2000,
    ),
    Target(
        "p99 of an attempt at 2,000/s, one show",
        "holds.one_show.open.latency.p99_ms",
        "≤",
        100,
        "ms",
        given=ONE_SHOW_AT_2000,
    ),
    Target("complete purchases/s, ledger included", "purchases.closed.per_second", "≥", 1_000),
    Target("CPU-ms for a purchase", "purchases.closed.cpu_ms_each.all", "≤", 1.5),
    Target(
        "p99 of a hold at 500 purchases/s", f"{STEADY}.hold.p99_ms", "≤", 250, "ms", given=AT_500
    ),
    Target(
        "p99 of a payment at 500 purchases/s", f"{STEADY}.pay.p99_ms", "≤", 250, "ms", given=AT_500
    ),
    Target(
        "purchases/s, times the baseline's",
        "purchases.closed.per_second",
        "≥",
        10,
        divisor="baseline.purchases.per_second",
    ),
    Target("hot show sold out", "hot.sold_out_seconds", "≤", 3, "s"),
    Target("hot show p99", "hot.answer.p99_ms", "≤", 1_000, "ms"),
    Target("hot show, sold twice", "hot.sold_twice", "≤", 0),
    Target("hot show, unsold while somebody was refused", "hot.unsold_while_refused", "≤", 0),
    Target("cached seat maps/s", "seat_maps.cached.per_second", "≥", 10_000),
    Target("answers 304/s when nothing changed", "seat_maps.unchanged.per_second", "≥", 10_000),
    Target("listeners of one show", "live.listeners", "≥", 5_000),
    Target(
        "p99 of a change at a listener",
        "live.heard.p99_ms",
        "≤",
        250,
        "ms",
        given=("live.listeners", 5_000.0),
    ),
    Target(
        "purchase cost, 10^5 shows to 10^2",
        "growth.100000.cpu_ms_each.all",
        "≤",
        1.2,
        divisor="growth.100.cpu_ms_each.all",
    ),
)
