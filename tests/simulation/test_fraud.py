"""More than f Byzantine validators can fork the chain, but signatures prove who they are."""

import pytest
from msgspec.structs import replace

from cinesync.pbft.evidence import contradict, equivocators
from cinesync.pbft.messages import Commit, ConsensusBlock, Decided, Vote, digest
from tests.simulation.byzantine import Equivocator, resigned
from tests.simulation.fakes import configuration
from tests.simulation.invariants import InvariantViolated
from tests.simulation.simulation import KEYS, TICK, Simulation
from tests.simulation.twins import twin


def _forked() -> tuple[Decided, Decided, Simulation]:
    """Validators 0 and 1 agree with 2 and with 3, about different blocks."""
    sim = Simulation(1)
    for me in (0, 1):
        sim.nodes[me].honest = False
        sim.nodes[me].outgoing = Equivocator(sim)
    sim.submit(b"one seat")
    with pytest.raises(InvariantViolated, match="two blocks at height 1"):
        sim.run(20 * TICK)
    one, other = (sim.nodes[me].replica for me in (2, 3))
    assert one is not None
    assert other is not None
    proofs = (one.core.log.slots[1].decided, other.core.log.slots[1].decided)
    assert proofs[0] is not None
    assert proofs[1] is not None
    return proofs[0], proofs[1], sim


def test_a_fork_proves_who_equivocated() -> None:
    one, other, _ = _forked()
    assert equivocators(KEYS, configuration(), one, other) == {0, 1}


def test_valid_certificates_are_no_evidence() -> None:
    one, other, _ = _forked()
    assert equivocators(KEYS, configuration(), one, one) == set()
    forged = replace(other, votes=tuple(Vote(v.replica, b"?") for v in other.votes))
    assert equivocators(KEYS, configuration(), one, forged) == set()


def test_two_conflicting_statements_about_one_slot_are_evidence() -> None:
    sim = Simulation(1)
    node = sim.nodes[1]
    one = resigned(node, Commit(1, b"", 0, 0, 1, digest(ConsensusBlock(1, ()))))
    other = resigned(node, replace(one, digest=digest(ConsensusBlock(2, ()))))
    assert contradict(KEYS, configuration(), one, other)
    assert not contradict(KEYS, configuration(), one, one)
    assert not contradict(KEYS, configuration(), one, replace(other, signature=b"?"))
    later = resigned(node, replace(other, view=1))
    assert not contradict(KEYS, configuration(), one, later)


@pytest.mark.parametrize("seed", range(40))
def test_one_pair_of_twins_cannot_fork_the_chain(seed: int) -> None:
    """Twins scenarios: who hears whom, and which twin, is drawn again for each of six views."""
    sim = Simulation(seed)
    twin(sim, sim.nodes[seed % 4])
    for index in range(6):
        sim.submit(b"%d" % index)
        side = set(sim.rng.sample(list(sim.nodes), 2))
        everyone = list(sim.nodes)
        sim.network.cut = {(a, b) for a in everyone for b in everyone if (a in side) != (b in side)}
        sim.run(10 * TICK)
    sim.network.heal()
    assert sim.run_until(lambda: sim.outcomes.keys() == sim.submitted, 4_000 * TICK)
