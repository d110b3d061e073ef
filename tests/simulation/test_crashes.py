"""Killed at every boundary between persist, send and apply, one after the other."""

import pytest

from tests.simulation.simulate import finish, heal, lose
from tests.simulation.simulation import TICK, World

pytestmark = pytest.mark.slow


def _story(node: int, boundary: int | None, *, change_view: bool) -> World:
    world = World(3)
    if boundary is not None:
        world.kill_at = (node, boundary)
    for index in range(3):
        world.ask(b"%d" % index)
        world.run(TICK)
        if change_view and index == 1:
            world.cut_off(0)
            world.ask(b"more")
            world.run(12 * TICK)
            world.network.heal()
    left = world.kill_at[1] if world.kill_at else 0
    heal(world)
    finish(world)
    world.boundaries = (boundary or 0) - left
    return world


def _boundaries(node: int, *, change_view: bool) -> int:
    return _story(node, 10_000, change_view=change_view).boundaries


@pytest.mark.no_cover  # it takes five times as long; the lives of the simulator visit as much
@pytest.mark.parametrize("change_view", [False, True])
@pytest.mark.parametrize("node", range(4))
def test_a_kill_at_any_boundary_breaks_no_promise(node: int, *, change_view: bool) -> None:
    count = _boundaries(node, change_view=change_view)
    assert count > 20
    for boundary in range(count):
        try:
            _story(node, boundary, change_view=change_view)
        except Exception as problem:  # noqa: BLE001  it is reported with its place
            pytest.fail(f"killed at boundary {boundary}: {problem!r}")


def test_all_restarting_at_once_forget_nothing() -> None:
    world = World(5)
    for index in range(5):
        world.ask(b"%d" % index)
        world.run(4)
        for node in world.nodes.values():
            world.kill(node)
        world.restart_all()
    finish(world)


@pytest.mark.parametrize("wiped", [True, False])
def test_who_lost_its_log_votes_again_once_it_cannot_contradict_itself(*, wiped: bool) -> None:
    world = World(11)
    world.ask(b"before")
    world.run(4 * TICK)
    lose(world, world.nodes[2], wiped=wiped)
    world.run(8 * TICK)
    replica = world.nodes[2].replica
    assert replica is not None
    assert replica.core.abstaining
    for index in range(24):
        world.ask(b"%d" % index)
        world.run(3 * TICK)
    finish(world)
    replica = world.nodes[2].replica
    assert replica is not None
    assert not replica.core.abstaining
    assert (
        any(2 in slot.prepares for slot in replica.core.log.slots.values()) or replica.core.log.low
    )


def test_two_that_lost_their_logs_stop_the_rest_safely() -> None:
    world = World(12)
    world.ask(b"before")
    world.run(4 * TICK)
    lose(world, world.nodes[2], wiped=True)
    lose(world, world.nodes[3], wiped=True)
    answered = len(world.outcomes)
    world.ask(b"after")
    world.run(200 * TICK)
    assert len(world.outcomes) == answered


def test_an_application_that_lost_its_snapshot_gets_it_from_the_others() -> None:
    world = World(13)
    for index in range(4):
        world.ask(b"%d" % index)
        world.run(4 * TICK)
    node = world.nodes[1]
    world.kill(node)
    node.disk.snapshots.clear()
    world.start(node)
    assert node.replica is not None
    assert node.replica.core.executed == 0
    assert not node.replica.core.abstaining
    finish(world)
    assert node.replica.core.executed == 4
