"""The simulator must catch each of the planted bugs: otherwise its silence proves nothing."""

from collections.abc import Callable, Iterator

import pytest

from tests.simulation import scripted
from tests.simulation.byzantine import Forger
from tests.simulation.planted_bugs import BUGS, Bug, planted
from tests.simulation.simulate import run_seed, with_adversary

SEEDS_MAX = 1_000
SCENARIOS = {
    "the lowest view wins in O": scripted.highest_view,
    "O is not checked": scripted.unjustified_choice,
    "P is not checked": scripted.forged_certificate,
    "the view timeout does not grow": scripted.slow_network,
}


def _runs(bug: Bug) -> Iterator[Callable[[], object]]:
    """Runs that may show the bug: first its scenario, if random runs rarely meet it."""
    if bug.name in SCENARIOS:
        yield SCENARIOS[bug.name]
    faults = [with_adversary(Forger)] if bug.name == "P is not checked" else []
    for seed in range(SEEDS_MAX):
        yield lambda seed=seed: run_seed(seed, faults)  # type: ignore[misc]


def caught(bug: Bug) -> bool:
    with planted(bug):
        for run in _runs(bug):
            try:
                run()
            except Exception:  # noqa: BLE001  however it shows itself
                return True
    return False


@pytest.mark.slow
@pytest.mark.no_cover  # it takes five times as long, and what a bug visits says nothing
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_simulator_finds_a_planted_bug(bug: Bug) -> None:
    assert caught(bug)


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=lambda scenario: scenario.__name__)
def test_a_scenario_passes_without_the_bug(scenario: Callable[[], object]) -> None:
    scenario()
