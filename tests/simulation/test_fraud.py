"""More than f equivocators can fork the chain, but not without leaving proof of who they are."""

import pytest
from msgspec.structs import replace

from cinesync.pbft.evidence import contradict, equivocators
from cinesync.pbft.messages import Commit, ConsensusBlock, Decided, Vote, digest
from tests.simulation.byzantine import Equivocator, resigned
from tests.simulation.fakes import configuration
from tests.simulation.invariants import Broken
from tests.simulation.simulation import KEYS, TICK, World
from tests.simulation.twins import twin


def _forked() -> tuple[Decided, Decided, World]:
    """Validators 0 and 1 agree with 2 and with 3, about different blocks."""
    world = World(1)
    for me in (0, 1):
        world.nodes[me].honest = False
        world.nodes[me].tell = Equivocator(world)
    world.ask(b"one seat")
    with pytest.raises(Broken, match="two blocks at height 1"):
        world.run(20 * TICK)
    one, other = (world.nodes[me].replica for me in (2, 3))
    assert one is not None
    assert other is not None
    proofs = (one.core.log.slots[1].decided, other.core.log.slots[1].decided)
    assert proofs[0] is not None
    assert proofs[1] is not None
    return proofs[0], proofs[1], world


def test_a_fork_names_the_liars() -> None:
    one, other, _ = _forked()
    assert equivocators(KEYS, configuration(), one, other) == {0, 1}


def test_honest_certificates_accuse_nobody() -> None:
    one, other, _ = _forked()
    assert equivocators(KEYS, configuration(), one, one) == set()
    forged = replace(other, votes=tuple(Vote(v.replica, b"?") for v in other.votes))
    assert equivocators(KEYS, configuration(), one, forged) == set()


def test_two_signed_words_about_one_slot_convict() -> None:
    world = World(1)
    node = world.nodes[1]
    one = resigned(node, Commit(1, b"", 0, 0, 1, digest(ConsensusBlock(1, ()))))
    other = resigned(node, replace(one, digest=digest(ConsensusBlock(2, ()))))
    assert contradict(KEYS, configuration(), one, other)
    assert not contradict(KEYS, configuration(), one, one)
    assert not contradict(KEYS, configuration(), one, replace(other, signature=b"?"))
    later = resigned(node, replace(other, view=1))
    assert not contradict(KEYS, configuration(), one, later)


@pytest.mark.parametrize("seed", range(40))
def test_one_pair_of_twins_forks_nothing(seed: int) -> None:
    """Twins scenarios: who hears whom, and which twin, is drawn again for each of six views."""
    world = World(seed)
    twin(world, world.nodes[seed % 4])
    for index in range(6):
        world.ask(b"%d" % index)
        side = set(world.chance.sample(list(world.nodes), 2))
        everyone = list(world.nodes)
        world.network.cut = {
            (a, b) for a in everyone for b in everyone if (a in side) != (b in side)
        }
        world.run(10 * TICK)
    world.network.heal()
    assert world.run_until(lambda: world.outcomes.keys() == world.asked, 4_000 * TICK)
