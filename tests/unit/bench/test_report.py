"""Tables come from results, never from hands."""

import pytest

from bench import report
from bench.report import Row, Target

RUNS = [
    {"buy": {"rate": 1200.0, "cpu": {"shop": 0.5, "bank": 0.25, "all": 0.75}}, "base": 50},
    {"buy": {"rate": 1000.0, "cpu": {"shop": 0.7, "bank": 0.25, "all": 0.95}}, "base": 40},
    {"buy": {"rate": 1100.0, "cpu": {"shop": 0.6, "bank": 0.25, "all": 0.85}}, "base": 100},
]


def test_a_figure_is_the_median_with_the_range_of_its_runs() -> None:
    assert report.written(report.values(RUNS, "buy.rate"), "ms") == "1,100 ms (1,000 to 1,200)"


def test_one_run_has_no_range_and_none_no_figure() -> None:
    assert report.written([0.12345]) == "0.123"
    assert report.written([]) == "–"


def test_a_row_stands_next_to_what_the_same_runs_measured() -> None:
    rows = [Row("purchases/s", "buy.rate", baseline="base"), Row("never run", "nothing.here")]
    table = report.figures_table(RUNS, rows)
    assert "| purchases/s | 1,100 (1,000 to 1,200) | 50 (40 to 100) | – |" in table
    assert "never run" not in table


def test_cpu_time_is_told_by_kind_of_process() -> None:
    table = report.cpu_table(RUNS[:1], {"purchase": "buy.cpu", "hold": "hold.cpu"})
    assert "| CPU-ms for one | all but the load | bank | shop |" in table
    assert "| purchase | 0.75 | 0.25 | 0.5 |" in table
    assert "hold" not in table


def test_what_the_processors_did_stands_beside_the_pace_of_the_machine() -> None:
    states = {"busy": 60.0, "idle": 9.5, "disk": 0.5, "stolen": 30.0}
    runs = [{"buy": {"pace_ms": 610.0, "closed": {"processors": states}}}]
    table = report.processors_table(runs, {"purchases": "buy.closed", "holds": "hold.closed"})
    assert "| purchases | 610 | 60 | 9.5 | 0.5 | 30 |" in table
    assert "holds" not in table
    assert report.processors_table(RUNS, {"purchases": "buy.closed"}) == ""


def test_a_ratio_is_taken_within_each_run() -> None:
    assert report.ratios(RUNS, "buy.rate", "base") == [24, 25, 11]


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target("rate", "buy.rate", "≥", 1100), "reached"),
        (Target("rate", "buy.rate", "≥", 1101), "**not reached**"),
        (Target("cpu", "buy.cpu.all", "≤", 0.85), "reached"),
        (Target("cpu", "buy.cpu.all", "≤", 0.8), "**not reached**"),
        (Target("ratio", "buy.rate", "≥", 24, divisor="base"), "reached"),
        (Target("ratio", "buy.rate", "≥", 25, divisor="base"), "**not reached**"),
        (Target("cpu", "buy.cpu.all", "≤", 0.9, given=("base", 50)), "reached"),
        (
            Target("cpu", "buy.cpu.all", "≤", 0.9, given=("base", 51)),
            "**not reached** (at 50 only)",
        ),
        (Target("other", "not.there", "≥", 1), "not measured"),
    ],
)
def test_a_target_is_judged_by_the_median(target: Target, verdict: str) -> None:
    assert report.judge(RUNS, target)[0] == verdict


def test_levels_stand_side_by_side() -> None:
    run = {"growth": {"100": {"shows": 100, "cost": 1.5}, "10000": {"shows": 10_000, "cost": 1.6}}}
    rows = {"shows": "shows", "CPU-ms": "cost"}
    table = report.levels_table([run], "growth", ["100", "10000", "100000"], rows)
    assert table == "| shows | 100 | 10,000 |\n|---|---|---|\n| CPU-ms | 1.5 | 1.6 |\n"
    assert report.levels_table([{}], "growth", ["100"], rows) == ""


def test_tables_go_between_their_marks() -> None:
    text = "before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n"
    new = report.replaced(text, "figures", "new \\1\n")
    assert new == "before\n<!-- figures -->\nnew \\1\n<!-- /figures -->\nafter\n"


def test_a_missing_mark_is_an_error() -> None:
    with pytest.raises(ValueError, match="no place marked figures"):
        report.replaced("text", "figures", "new")
