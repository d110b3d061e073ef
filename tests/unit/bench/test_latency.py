"""Percentiles by nearest rank: always a value that was measured."""

import pytest

from bench.load.latency import percentile, summarise


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (1, 1), (50, 50), (99, 99), (100, 100)])
def test_of_one_to_a_hundred_the_percentile_is_the_number_itself(
    percent: float, value: float
) -> None:
    assert percentile(range(1, 101), percent) == value


def test_of_few_values_the_99th_percentile_is_the_largest() -> None:
    assert percentile([1, 2, 3], 99) == 3


def test_seconds_become_milliseconds_in_any_order() -> None:
    latency = summarise([0.003, 0.001, 0.002])
    assert latency is not None
    assert (latency.count, latency.p50_ms, latency.max_ms) == (3, 2.0, 3.0)


def test_of_nothing_there_is_no_latency() -> None:
    assert summarise([]) is None
