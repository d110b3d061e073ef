"""What is made of measurements."""

from array import array
from collections import Counter, defaultdict

from bench.figures import ceiling, holds, hot, live, purchases
from bench.load.driver import Outcome
from bench.load.flows import Fetch, Round
from bench.load.generator import Report
from bench.load.subscribers import Subscriber
from bench.stock import Auditorium

ROOM = Auditorium(rows=2, seats_in_row=3)


def outcome(answers: dict[tuple[str, int], int], seconds: float = 2.0) -> Outcome:
    steps = {step for step, _ in answers}
    report = Report(
        seconds=seconds,
        began=max(answers.values()),
        answers=Counter(answers),
        latencies={step: array("d", [0.01, 0.02]) for step in steps},
    )
    return Outcome(
        report,
        {"shop": 1.0, "bench": 9.0, "generator": 0.5},
        settled_seconds=4.0,
        processors={"busy": 90.0},
    )


def test_a_sold_out_answer_counts_as_answered_and_trouble_does_not() -> None:
    figures = holds.summary(outcome({("hold", 201): 30, ("hold", 409): 10, ("hold", 503): 50}))
    assert (figures["answered"], figures["per_second"], figures["trouble"]) == (40, 20.0, 10)


def test_purchases_count_when_they_are_in_the_ledger_and_until_then_the_clock_runs() -> None:
    figures = purchases.summary(outcome({("hold", 201): 40, ("pay", 201): 40}), 40, 20)
    assert figures["per_second"] == 20 / 4.0
    assert figures["answered_per_second"] == 40 / 2.0
    assert figures["cpu_ms_each"]["shop"] == 50.0


def test_the_load_is_not_part_of_what_a_purchase_costs() -> None:
    each = outcome({("hold", 201): 10}).cpu_ms_each(10)
    assert each["all"] == each["shop"] == 100.0
    assert each["generator"] == 50.0


def test_a_rush_tells_what_was_sold_twice_and_what_was_left() -> None:
    facts = {"seats": 5, "sold_twice": 0, "sold_out_seconds": 1.234}
    rush = outcome({("hold", 201): 5, ("hold", 409): 7, ("pay", 201): 5})
    load = hot.Load(buyers=12, seconds=1, auditorium=ROOM)
    left_over = hot.summary(rush, load, facts)
    assert left_over["unsold_while_refused"] == 1
    assert left_over["sold_out_seconds"] is None
    sold_out = hot.summary(rush, load, facts | {"seats": 6})
    assert (sold_out["unsold_while_refused"], sold_out["sold_out_seconds"]) == (0, 1.23)


def test_the_last_listener_is_what_counts() -> None:
    received = {7: array("d", [10.1, 10.3]), 9: array("d", [20.2])}
    figures = live.summary([10.0, 20.0], received, listeners=2)
    assert figures["last"]["max_ms"] == 300.0
    assert (figures["heard"]["count"], figures["unheard"]) == (3, 1)


async def test_a_listener_notes_each_version_once_however_it_is_cut() -> None:
    received: defaultdict[int, array[float]] = defaultdict(lambda: array("d"))
    subscriber = Subscriber(received, b"")
    subscriber.data_received(b"HTTP/1.1 200 OK\r\n\r\nretry: 2000\n\nevent: snapshot\nid: 1\ndata")
    subscriber.data_received(b": {}\n\n")
    for part in (b"event: seats\nid: 4", b"2\ndata: {}\n\nevent: se", b"ats\nid: 43\ndata: {}\n\n"):
        subscriber.data_received(part)
    assert subscriber.opened.done()
    assert {version: len(times) for version, times in received.items()} == {42: 1, 43: 1}


def test_what_pgbench_says_is_read() -> None:
    assert ceiling.tps("latency average = 0.4 ms\ntps = 31234.56 (without initial …)\n") == 31235


def test_the_same_requests_go_round() -> None:
    first, second = Fetch(b"1"), Fetch(b"2")
    assert list(Round([first, second], 3)) == [first, second, first]
    assert len(Round([first, second], 3)[1:]) == 2
