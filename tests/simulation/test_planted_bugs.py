"""A simulator that finds nothing proves nothing: it must find each of these."""

from collections.abc import Callable, Iterator

import pytest

from tests.simulation import scripted
from tests.simulation.byzantine import Forger
from tests.simulation.planted_bugs import BUGS, Bug, planted
from tests.simulation.simulate import lying, play

SEEDS_MAX = 1_000
SCENES = {
    "the lowest view wins in O": scripted.highest_view,
    "O is not checked": scripted.unjustified_choice,
    "P is not checked": scripted.forged_certificate,
    "the view timeout does not grow": scripted.slow_network,
}


def _lives(bug: Bug) -> Iterator[Callable[[], object]]:
    """Runs in which to look for it: the scene where it bites, if chance rarely goes there."""
    if bug.name in SCENES:
        yield SCENES[bug.name]
    traitors = [lying(Forger)] if bug.name == "P is not checked" else []
    for seed in range(SEEDS_MAX):
        yield lambda seed=seed: play(seed, traitors)  # type: ignore[misc]


def caught(bug: Bug) -> bool:
    with planted(bug):
        for life in _lives(bug):
            try:
                life()
            except Exception:  # noqa: BLE001  however it shows itself
                return True
    return False


@pytest.mark.slow
@pytest.mark.no_cover  # it takes five times as long, and what a bug visits says nothing
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_simulator_finds_a_planted_bug(bug: Bug) -> None:
    assert caught(bug)


@pytest.mark.parametrize("scene", SCENES.values(), ids=lambda scene: scene.__name__)
def test_the_trap_is_harmless_without_the_bug(scene: Callable[[], object]) -> None:
    scene()
