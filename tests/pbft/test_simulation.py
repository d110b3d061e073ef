"""Two thousand seeded lives of a cluster, each with its own faults and liars."""

import pytest

from tests.pbft.simulate import play

SEEDS = 2_000
SEEDS_FAST = 200
CHUNK = 50


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(first, marks=[pytest.mark.slow] if first >= SEEDS_FAST else [])
        for first in range(0, SEEDS, CHUNK)
    ],
)
def test_no_seed_breaks_an_invariant(first: int) -> None:
    for seed in range(first, first + CHUNK):
        try:
            play(seed)
        except Exception as problem:  # noqa: BLE001  it is reported with its place
            pytest.fail(f"seed {seed}: {problem!r}")
