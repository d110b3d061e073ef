"""Epochs: who votes changes by an ordered entry, at a checkpoint, signed by those who voted."""

from msgspec.structs import replace

from cinesync.pbft.messages import Configuration, Validator
from tests.pbft.fakes import configuration, validator
from tests.pbft.simulate import finish, lose
from tests.pbft.world import TICK, World


def _changed(world: World, validators: tuple[Validator, ...], epoch: int = 1) -> Configuration:
    wanted = replace(configuration(epoch=epoch), validators=validators)
    world.ask(b"", "operator", wanted)
    world.run(20 * TICK)
    for client in world.clients.values():
        client.configuration = wanted
    return wanted


def _epochs(world: World) -> list[int]:
    return [n.replica.core.configuration.epoch for n in world.nodes.values() if n.replica]


def test_a_joining_validator_follows_the_signatures_from_genesis() -> None:
    world = World(1, spares=1)
    _changed(world, tuple(validator(i) for i in range(5)))
    _changed(world, tuple(validator(i) for i in (0, 1, 2, 4)), epoch=2)
    world.ask(b"a seat")
    finish(world)
    assert _epochs(world) == [2] * 5


def test_a_rekeyed_validator_votes_with_its_new_key() -> None:
    world = World(2)
    _changed(world, (*(validator(i) for i in range(3)), validator(3, 1)))
    world.nodes[0].paused = True
    world.ask(b"needs all three others")
    assert world.run_until(lambda: world.outcomes.keys() == world.asked, 400 * TICK)


def test_whoever_missed_the_change_finds_out() -> None:
    world = World(3)
    world.cut_off(2)
    _changed(world, tuple(validator(i) for i in (0, 1, 3, 2)))
    world.ask(b"a seat")
    world.run(20 * TICK)
    world.network.heal()
    finish(world)
    assert _epochs(world) == [1] * 4


def test_who_lost_its_log_finds_the_epoch_again() -> None:
    world = World(4)
    _changed(world, tuple(validator(i) for i in (3, 0, 1, 2)))
    lose(world, world.nodes[1], wiped=True)
    world.ask(b"a seat")
    finish(world)
    world.run(20 * TICK)
    core = world.nodes[1].replica.core if world.nodes[1].replica else None
    assert core is not None
    assert core.configuration.epoch == 1
    assert core.abstain_until is not None


def test_a_restart_remembers_the_chain_of_epochs() -> None:
    world = World(5)
    _changed(world, tuple(validator(i) for i in (3, 0, 1, 2)))
    for node in world.nodes.values():
        world.kill(node)
    world.restart_all()
    assert _epochs(world) == [1] * 4
    world.ask(b"a seat")
    finish(world)


def test_only_an_operator_changes_the_configuration() -> None:
    world = World(6)
    world.ask(b"", "ada", configuration(epoch=1))
    world.run(20 * TICK)
    assert _epochs(world) == [0] * 4
    assert not world.outcomes


def test_a_change_that_names_one_twice_or_skips_an_epoch_is_refused() -> None:
    world = World(7)
    same = validator(1)
    world.ask(b"", "operator", replace(configuration(epoch=1), validators=(same, same)))
    world.ask(b"", "operator", configuration(epoch=2))
    world.run(20 * TICK)
    assert [outcome.result for outcome in world.outcomes.values()] == [b"refused"] * 2


def test_only_one_change_waits_at_a_time() -> None:
    world = World(8)
    world.ask(b"", "operator", configuration(epoch=1))
    world.ask(b"", "operator", configuration(epoch=1))
    world.run(20 * TICK)
    results = sorted(outcome.result for outcome in world.outcomes.values())
    assert results == [b"accepted", b"refused"]
    assert _epochs(world) == [1] * 4


def test_a_dead_primary_does_not_hold_up_a_change() -> None:
    world = World(9)
    world.ask(
        b"",
        "operator",
        replace(configuration(epoch=1), validators=tuple(validator(i) for i in (1, 2, 3, 0))),
    )
    world.run(TICK // 2)
    world.cut_off(0)
    world.run(100 * TICK)
    assert _epochs(world)[1:] == [1] * 3
