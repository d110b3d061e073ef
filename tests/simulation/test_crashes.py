"""A kill at every boundary between persist, send and apply, one after the other."""

import pytest

from tests.simulation.simulate import finish, heal, lose_log
from tests.simulation.simulation import TICK, Simulation

pytestmark = pytest.mark.slow


def _run_with_kill(node: int, boundary: int | None, *, change_view: bool) -> Simulation:
    sim = Simulation(3)
    if boundary is not None:
        sim.kill_at = (node, boundary)
    for index in range(3):
        sim.submit(b"%d" % index)
        sim.run(TICK)
        if change_view and index == 1:
            sim.cut_off(0)
            sim.submit(b"more")
            sim.run(12 * TICK)
            sim.network.heal()
    left = sim.kill_at[1] if sim.kill_at else 0
    heal(sim)
    finish(sim)
    sim.boundaries = (boundary or 0) - left
    return sim


def _boundaries(node: int, *, change_view: bool) -> int:
    return _run_with_kill(node, 10_000, change_view=change_view).boundaries


@pytest.mark.no_cover  # it takes five times as long; the lives of the simulator visit as much
@pytest.mark.parametrize("change_view", [False, True])
@pytest.mark.parametrize("node", range(4))
def test_a_kill_at_any_boundary_breaks_no_promise(node: int, *, change_view: bool) -> None:
    count = _boundaries(node, change_view=change_view)
    assert count > 20
    for boundary in range(count):
        try:
            _run_with_kill(node, boundary, change_view=change_view)
        except Exception as problem:  # noqa: BLE001  it is reported with its place
            pytest.fail(f"killed at boundary {boundary}: {problem!r}")


def test_nothing_is_lost_when_all_restart_at_once() -> None:
    sim = Simulation(5)
    for index in range(5):
        sim.submit(b"%d" % index)
        sim.run(4)
        for node in sim.nodes.values():
            sim.kill(node)
        sim.restart_all()
    finish(sim)


@pytest.mark.parametrize("wiped", [True, False])
def test_a_replica_that_lost_its_log_abstains_and_votes_again_later(*, wiped: bool) -> None:
    sim = Simulation(11)
    sim.submit(b"before")
    sim.run(4 * TICK)
    lose_log(sim, sim.nodes[2], wiped=wiped)
    sim.run(8 * TICK)
    replica = sim.nodes[2].replica
    assert replica is not None
    assert replica.core.abstaining
    for index in range(24):
        sim.submit(b"%d" % index)
        sim.run(3 * TICK)
    finish(sim)
    replica = sim.nodes[2].replica
    assert replica is not None
    assert not replica.core.abstaining
    assert (
        any(2 in slot.prepares for slot in replica.core.log.slots.values()) or replica.core.log.low
    )


def test_two_lost_logs_stop_progress_safely() -> None:
    sim = Simulation(12)
    sim.submit(b"before")
    sim.run(4 * TICK)
    lose_log(sim, sim.nodes[2], wiped=True)
    lose_log(sim, sim.nodes[3], wiped=True)
    answered = len(sim.outcomes)
    sim.submit(b"after")
    sim.run(200 * TICK)
    assert len(sim.outcomes) == answered


def test_a_lost_snapshot_is_fetched_from_peers() -> None:
    sim = Simulation(13)
    for index in range(4):
        sim.submit(b"%d" % index)
        sim.run(4 * TICK)
    node = sim.nodes[1]
    sim.kill(node)
    node.disk.snapshots.clear()
    sim.start(node)
    assert node.replica is not None
    assert node.replica.core.executed == 0
    assert not node.replica.core.abstaining
    finish(sim)
    assert node.replica.core.executed == 4
