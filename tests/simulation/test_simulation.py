"""Two thousand seeded runs of a cluster, each with its own faults and adversaries."""

import pytest

from tests.simulation.simulate import run_seed

pytestmark = pytest.mark.slow

SEEDS = 2_000
SEEDS_FAST = 200
CHUNK = 50
# Under coverage a seed takes five times as long; the first of them visit what there is.
SLOW = (pytest.mark.slow, pytest.mark.no_cover)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(first, marks=SLOW if first >= SEEDS_FAST else ())
        for first in range(0, SEEDS, CHUNK)
    ],
)
def test_no_seed_breaks_an_invariant(first: int) -> None:
    for seed in range(first, first + CHUNK):
        try:
            run_seed(seed)
        except Exception as problem:  # noqa: BLE001  it is reported with its place
            pytest.fail(f"seed {seed}: {problem!r}")
