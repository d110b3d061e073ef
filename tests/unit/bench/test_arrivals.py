"""When requests start."""

from itertools import pairwise

from bench.load import arrivals


def test_poisson_arrivals_come_at_the_rate_asked_for_and_bunch_up() -> None:
    times = arrivals.poisson(500, 20_000, seed=1)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert times == sorted(times)
    assert abs(20_000 / times[-1] - 500) < 15
    shorter_than_half_the_mean = sum(gap < 0.001 for gap in gaps) / len(gaps)
    assert 0.37 < shorter_than_half_the_mean < 0.42  # 1 - exp(-1/2)


def test_the_same_seed_gives_the_same_arrivals() -> None:
    assert arrivals.poisson(100, 50, seed=7) == arrivals.poisson(100, 50, seed=7)
    assert arrivals.poisson(100, 50, seed=7) != arrivals.poisson(100, 50, seed=8)


def test_constant_arrivals_are_evenly_spaced() -> None:
    assert arrivals.constant(4, 3) == [0.0, 0.25, 0.5]
