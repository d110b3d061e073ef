"""Reconfiguration: an ordered request changes the validators at a checkpoint that they sign."""

import pytest
from msgspec.structs import replace

from cinesync.pbft.client import PbftClient
from cinesync.pbft.core import Core
from cinesync.pbft.messages import Configuration, EpochLinks, Reply, Validator, encode, payload
from tests.simulation.fakes import configuration, validator
from tests.simulation.simulate import finish, lose_log
from tests.simulation.simulation import KEYS, TICK, Simulation


def _changed(sim: Simulation, validators: tuple[Validator, ...], epoch: int = 1) -> Configuration:
    wanted = replace(configuration(epoch=epoch), validators=validators)
    sim.submit(b"", "operator", wanted)
    sim.run(20 * TICK)
    return wanted


def _epochs(sim: Simulation) -> list[int]:
    return [n.replica.core.configuration.epoch for n in sim.nodes.values() if n.replica]


def test_a_joining_validator_follows_the_signatures_from_genesis() -> None:
    sim = Simulation(1, spares=1)
    _changed(sim, tuple(validator(i) for i in range(5)))
    _changed(sim, tuple(validator(i) for i in (0, 1, 2, 4)), epoch=2)
    sim.submit(b"a seat")
    finish(sim)
    assert _epochs(sim) == [2] * 5


def test_a_rekeyed_validator_votes_with_its_new_key() -> None:
    sim = Simulation(2)
    _changed(sim, (*(validator(i) for i in range(3)), validator(3, 1)))
    sim.nodes[0].paused = True
    sim.submit(b"needs all three others")
    assert sim.run_until(lambda: sim.outcomes.keys() == sim.submitted, 400 * TICK)


def test_a_replica_that_missed_the_change_learns_of_it() -> None:
    sim = Simulation(3)
    sim.cut_off(2)
    _changed(sim, tuple(validator(i) for i in (0, 1, 3, 2)))
    sim.submit(b"a seat")
    sim.run(20 * TICK)
    sim.network.heal()
    finish(sim)
    assert _epochs(sim) == [1] * 4


def test_a_replica_that_lost_its_log_finds_the_epoch_again() -> None:
    sim = Simulation(4)
    _changed(sim, tuple(validator(i) for i in (3, 0, 1, 2)))
    lose_log(sim, sim.nodes[1], wiped=True)
    sim.submit(b"a seat")
    finish(sim)
    sim.run(20 * TICK)
    core = sim.nodes[1].replica.core if sim.nodes[1].replica else None
    assert core is not None
    assert core.configuration.epoch == 1
    assert core.abstain_until is not None


def test_epoch_links_survive_a_restart() -> None:
    sim = Simulation(5)
    _changed(sim, tuple(validator(i) for i in (3, 0, 1, 2)))
    for node in sim.nodes.values():
        sim.kill(node)
    sim.restart_all()
    assert _epochs(sim) == [1] * 4
    sim.submit(b"a seat")
    finish(sim)


def test_only_an_operator_changes_the_configuration() -> None:
    sim = Simulation(6)
    sim.submit(b"", "ada", configuration(epoch=1))
    sim.run(20 * TICK)
    assert _epochs(sim) == [0] * 4
    assert not sim.outcomes


def test_a_change_with_a_double_validator_or_a_skipped_epoch_is_refused() -> None:
    sim = Simulation(7)
    same = validator(1)
    sim.submit(b"", "operator", replace(configuration(epoch=1), validators=(same, same)))
    sim.submit(b"", "operator", configuration(epoch=2))
    sim.run(20 * TICK)
    assert [outcome.result for outcome in sim.outcomes.values()] == [b"refused"] * 2


def test_fewer_than_four_and_one_key_for_two_are_refused() -> None:
    sim = Simulation(7)
    few = tuple(validator(i) for i in range(3))
    twins = (*few, replace(validator(3), public_key=validator(0).public_key))
    for validators in (few, twins):
        sim.submit(b"", "operator", replace(configuration(epoch=1), validators=validators))
    sim.run(20 * TICK)
    assert [outcome.result for outcome in sim.outcomes.values()] == [b"refused"] * 2


def test_only_one_change_waits_at_a_time() -> None:
    sim = Simulation(8)
    sim.submit(b"", "operator", configuration(epoch=1))
    sim.submit(b"", "operator", configuration(epoch=1))
    sim.run(20 * TICK)
    results = sorted(outcome.result for outcome in sim.outcomes.values())
    assert results == [b"accepted", b"refused"]
    assert _epochs(sim) == [1] * 4


def test_a_dead_primary_does_not_hold_up_a_change() -> None:
    sim = Simulation(9)
    sim.submit(
        b"",
        "operator",
        replace(configuration(epoch=1), validators=tuple(validator(i) for i in (1, 2, 3, 0))),
    )
    sim.run(TICK // 2)
    sim.cut_off(0)
    sim.run(100 * TICK)
    assert _epochs(sim)[1:] == [1] * 3


def test_links_from_an_unknown_peer_are_enough_to_follow_the_newest_set() -> None:
    """Its own set is gone altogether; any stranger may bring the links, which prove themselves."""
    sim = Simulation(10, spares=5)
    sim.network.cut = {pair for i in range(8) for pair in ((i, 8), (8, i))}
    _changed(sim, tuple(validator(i) for i in range(8)))
    _changed(sim, tuple(validator(i) for i in range(4, 9)), epoch=2)
    sim.network.cut = {pair for i in range(4) for pair in ((i, 8), (8, i))}
    sim.run(20 * TICK)
    assert _core(sim, 8).configuration.epoch == 0
    links = encode(EpochLinks(tuple(_core(sim, 4).links)))
    sim.deliver_to(sim.nodes[8], 4, links)
    assert sim.run_until(lambda: _core(sim, 8).configuration.epoch == 2, 100 * TICK)


def test_a_replica_that_lost_its_log_probes_a_quorum_of_the_newest_set() -> None:
    """Three of seven may all be behind: what they have seen says nothing about what I signed."""
    sim = Simulation(12, spares=3)
    _changed(sim, tuple(validator(i) for i in range(7)))
    sim.network.cut = {pair for i in (4, 5, 6) for pair in ((i, 0), (0, i))}
    lose_log(sim, sim.nodes[0], wiped=True)
    sim.run(20 * TICK)
    assert _core(sim, 0).newest.size == 7
    assert _core(sim, 0).abstain_until is None
    sim.network.heal()
    assert sim.run_until(lambda: _core(sim, 0).abstain_until is not None, 100 * TICK)


@pytest.mark.parametrize("absent", [False, True])
def test_an_abstain_bound_from_an_older_set_is_computed_again(*, absent: bool) -> None:
    sim = Simulation(13)
    lose_log(sim, sim.nodes[1], wiped=True)
    assert sim.run_until(lambda: _core(sim, 1).abstain_until is not None, 100 * TICK)
    sim.network.lose = {(b"probe", to) for to in sim.nodes}
    if absent:
        sim.cut_off(1)
    _changed(sim, tuple(validator(i) for i in (3, 0, 1, 2)))
    sim.network.cut.clear()
    sim.run(20 * TICK)
    assert _core(sim, 1).configuration.epoch == 1
    assert _core(sim, 1).abstain_until is None


def test_replies_of_two_sets_do_not_add_up_for_a_client() -> None:
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


def _core(sim: Simulation, me: int) -> Core:
    replica = sim.nodes[me].replica
    assert replica is not None
    return replica.core
