"""Epochs: who votes changes by an ordered entry, at a checkpoint, signed by those who voted."""

import pytest
from msgspec.structs import replace

from cinesync.pbft.client import PbftClient
from cinesync.pbft.core import Core
from cinesync.pbft.messages import Configuration, EpochLinks, Reply, Validator, encode, payload
from tests.simulation.fakes import configuration, validator
from tests.simulation.simulate import finish, lose
from tests.simulation.simulation import KEYS, TICK, World


def _changed(world: World, validators: tuple[Validator, ...], epoch: int = 1) -> Configuration:
    wanted = replace(configuration(epoch=epoch), validators=validators)
    world.ask(b"", "operator", wanted)
    world.run(20 * TICK)
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


def test_fewer_than_four_and_one_key_for_two_are_refused() -> None:
    world = World(7)
    few = tuple(validator(i) for i in range(3))
    twins = (*few, replace(validator(3), public_key=validator(0).public_key))
    for validators in (few, twins):
        world.ask(b"", "operator", replace(configuration(epoch=1), validators=validators))
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


def test_who_knows_nobody_of_the_newest_set_needs_only_its_links() -> None:
    """Its own set is gone altogether; any stranger may bring the links, which prove themselves."""
    world = World(10, spares=5)
    world.network.cut = {pair for i in range(8) for pair in ((i, 8), (8, i))}
    _changed(world, tuple(validator(i) for i in range(8)))
    _changed(world, tuple(validator(i) for i in range(4, 9)), epoch=2)
    world.network.cut = {pair for i in range(4) for pair in ((i, 8), (8, i))}
    world.run(20 * TICK)
    assert _core(world, 8).configuration.epoch == 0
    links = encode(EpochLinks(tuple(_core(world, 4).links)))
    world.deliver_to(world.nodes[8], 4, links)
    assert world.run_until(lambda: _core(world, 8).configuration.epoch == 2, 100 * TICK)


def test_who_lost_its_log_asks_a_quorum_of_the_newest_set() -> None:
    """Three of seven may all be behind: what they have seen says nothing about what I signed."""
    world = World(12, spares=3)
    _changed(world, tuple(validator(i) for i in range(7)))
    world.network.cut = {pair for i in (4, 5, 6) for pair in ((i, 0), (0, i))}
    lose(world, world.nodes[0], wiped=True)
    world.run(20 * TICK)
    assert _core(world, 0).newest.size == 7
    assert _core(world, 0).abstain_until is None
    world.network.heal()
    assert world.run_until(lambda: _core(world, 0).abstain_until is not None, 100 * TICK)


@pytest.mark.parametrize("absent", [False, True])
def test_a_bound_found_with_an_older_set_is_found_again(*, absent: bool) -> None:
    world = World(13)
    lose(world, world.nodes[1], wiped=True)
    assert world.run_until(lambda: _core(world, 1).abstain_until is not None, 100 * TICK)
    world.network.lose = {(b"probe", to) for to in world.nodes}
    if absent:
        world.cut_off(1)
    _changed(world, tuple(validator(i) for i in (3, 0, 1, 2)))
    world.network.cut.clear()
    world.run(20 * TICK)
    assert _core(world, 1).configuration.epoch == 1
    assert _core(world, 1).abstain_until is None


def test_words_of_two_sets_do_not_add_up_for_a_client() -> None:
    asked = PbftClient("ada", configuration(), KEYS, 1)
    asked.submit((b"a seat",))
    assert asked.step(0, _reply(0, epoch=0)) is None
    sends = asked.use_configuration(replace(configuration(epoch=1), validators=_all(5)))
    assert [send.to for send in sends] == [0, 1, 2, 3, 4]
    assert asked.step(1, _reply(1, epoch=0)) is None
    assert asked.step(1, _reply(1, epoch=1)) is None
    assert asked.step(2, _reply(2, epoch=1)) is not None


def _all(count: int) -> tuple[Validator, ...]:
    return tuple(validator(i) for i in range(count))


def _reply(replica: int, epoch: int) -> bytes:
    bare = Reply(replica, b"", epoch, "ada", 1, 1, b"done", None)
    signature = KEYS.sign(validator(replica).public_key, payload(bare))
    return encode(replace(bare, signature=signature))


def _core(world: World, me: int) -> Core:
    replica = world.nodes[me].replica
    assert replica is not None
    return replica.core
