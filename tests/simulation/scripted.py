"""Scripted scenarios. Each writes a golden transcript; some catch a planted bug."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from cinesync.pbft.core import Core
from cinesync.pbft.messages import Commit, NewView, PbftMessage, ViewChange, encode
from cinesync.pbft.replica import Send
from tests.simulation.byzantine import Adversary, Equivocator, resigned
from tests.simulation.fakes import configuration, validator
from tests.simulation.invariants import InvariantViolated
from tests.simulation.simulate import finish, heal, lose_log
from tests.simulation.simulation import TICK, Node, Simulation
from tests.simulation.transcript import Transcript

FOLDER = Path(__file__).parent / "scenarios"


def _quiet_simulation(spares: int = 0) -> tuple[Simulation, Transcript]:
    sim = Simulation(7, spares=spares)
    sim.network.delay_max = 1
    return sim, Transcript(sim)


def _core(sim: Simulation, me: int) -> Core:
    replica = sim.nodes[me].replica
    assert replica is not None
    return replica.core


def normal_case() -> tuple[Simulation, Transcript]:
    sim, transcript = _quiet_simulation()
    transcript.comment("A client asks all four. Validator 0 is primary of view 0 and proposes.")
    sim.submit(b"one seat")
    sim.run(3 * TICK)
    transcript.comment("A second block; every second height (K = 2 here) is a checkpoint.")
    sim.submit(b"two seats")
    sim.run(3 * TICK)
    return sim, transcript


def silent_primary() -> tuple[Simulation, Transcript]:
    sim, transcript = _quiet_simulation()
    sim.cut_off(0)
    transcript.comment("The primary is cut off. The others wait T = 8 ticks, then replace it.")
    sim.submit(b"one seat")
    sim.run(12 * TICK)
    transcript.comment("It is back, and receives what it missed.")
    sim.network.heal()
    finish(sim)
    return sim, transcript


def committed_survives() -> tuple[Simulation, Transcript]:
    """One replica decides in view 0, alone; the next view must choose the same block."""
    sim, transcript = _quiet_simulation()
    sim.network.lose = {(b"commit", 0), (b"commit", 1), (b"commit", 2)}
    transcript.comment(
        "Only validator 3 receives the commits: it alone applies the block. Then it is cut off."
    )
    sim.submit(b"one seat")
    sim.run(2 * TICK)
    sim.cut_off(3)
    while not _core(sim, 0).view:
        sim.run(1)
    sim.network.lose.clear()
    transcript.comment("The others never decided, but they prepared: their view-changes say so.")
    sim.run(4 * TICK)
    transcript.comment("Healed: everybody has the block that validator 3 applied.")
    heal(sim)
    finish(sim)
    return sim, transcript


def highest_view(
    adversary: Callable[[Simulation], Adversary] | None = None,
) -> tuple[Simulation, Transcript]:
    """Two blocks were prepared at one height, in views 0 and 1; only the later can be committed."""
    sim, transcript = _quiet_simulation()
    sim.network.lose = {(b"prepare", 0), (b"prepare", 1), (b"prepare", 2)}
    transcript.comment(
        "View 0: only validator 3 receives the prepares, and prepares. Then it is cut off."
    )
    sim.submit(b"one seat")
    sim.run(2 * TICK)
    sim.cut_off(3)
    while not all(_core(sim, me).view == 1 for me in (0, 2)):
        sim.run(1)
    sim.network.lose = {(name, to) for name in (b"commit", b"decided") for to in (0, 1, 3)}
    transcript.comment(
        "View 1 knows nothing of it and orders another block. Only validator 2 commits it."
    )
    sim.run(3 * TICK)
    transcript.comment("Validator 2 is cut off too. Nothing moves; 0 and 1 ask for view 2.")
    sim.cut_off(2, 3)
    sim.run(20 * TICK)
    transcript.comment(
        "Validator 3 is back. Nobody opens view 2, and view 3 must choose the block of view 1."
    )
    if adversary is not None:
        sim.nodes[3].honest = False
        sim.nodes[3].outgoing = adversary(sim)
    sim.network.lose.clear()
    sim.cut_off(2)
    sim.run_until(lambda: _core(sim, 0).executed > 0, 80 * TICK)
    transcript.comment("Validator 2 is back.")
    heal(sim)
    finish(sim)
    return sim, transcript


class NullRequests(Adversary):
    """Opens its view with null requests instead of what was prepared."""

    def outgoing(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        if isinstance(message, NewView):
            replace = msgspec.structs.replace
            nulls = [resigned(node, replace(m, digest=bytes(32))) for m in message.pre_prepares]
            message = resigned(node, replace(message, pre_prepares=tuple(nulls)))
            yield Send(send.to, encode(message))
            for null in nulls:
                vote = Commit(node.me, b"", null.epoch, null.view, null.height, null.digest)
                yield Send(send.to, encode(resigned(node, vote)))
        else:
            yield send


def unjustified_choice() -> tuple[Simulation, Transcript]:
    return highest_view(NullRequests)


def equivocation() -> tuple[Simulation, Transcript]:
    sim, transcript = _quiet_simulation()
    sim.nodes[0].honest = False
    sim.nodes[0].outgoing = Equivocator(sim)
    transcript.comment("The primary equivocates: one block for validator 2, another for 1 and 3.")
    sim.submit(b"one seat")
    finish(sim)
    return sim, transcript


def lost_log() -> tuple[Simulation, Transcript]:
    sim, transcript = _quiet_simulation()
    for index in range(4):
        sim.submit(b"%d" % index)
        sim.run(3 * TICK)
    transcript.lines.clear()
    transcript.comment(
        "Validator 3 loses its disk. It asks how high it may have signed, and fetches the state."
    )
    lose_log(sim, sim.nodes[3], wiped=True)
    sim.run(10 * TICK)
    transcript.comment("It follows, but votes for nothing until height 4 + 4L = 20 is stable.")
    sim.submit(b"again")
    sim.run(4 * TICK)
    return sim, transcript


def new_member() -> tuple[Simulation, Transcript]:
    sim, transcript = _quiet_simulation(spares=1)
    wanted = configuration(epoch=1)
    everyone = (validator(0, 1), *wanted.validators[1:3], validator(4))
    wanted = msgspec.structs.replace(wanted, validators=everyone)
    transcript.comment(
        "An operator orders epoch 1: 0 gets a new key, 3 leaves, 4 joins. It takes effect at n4."
    )
    sim.submit(b"", "operator", wanted)
    sim.run(8 * TICK)
    transcript.comment(
        "The clients learn of it. Validator 4 follows the signatures from genesis to epoch 1."
    )
    sim.run(8 * TICK)
    sim.submit(b"one seat")
    finish(sim)
    return sim, transcript


class FalsePrepared(Adversary):
    """Never opens a view, and claims to have prepared null requests in the latest one."""

    def outgoing(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        if isinstance(message, ViewChange):
            forged = [
                msgspec.structs.replace(proof, view=message.view - 1, digest=bytes(32))
                for proof in message.prepared
            ]
            message = msgspec.structs.replace(message, prepared=tuple(forged))
            yield Send(send.to, encode(resigned(node, message)))
        elif not isinstance(message, NewView):
            yield send


def forged_certificate() -> Simulation:
    """Validator 3 alone has decided; the next view must not trust a forged certificate."""
    sim, _ = _quiet_simulation()
    sim.network.lose = {(b"commit", 0), (b"commit", 1), (b"commit", 2)}
    sim.submit(b"one seat")
    sim.run(2 * TICK)
    sim.nodes[1].honest = False
    sim.nodes[1].outgoing = FalsePrepared(sim)
    sim.cut_off(3)
    sim.run_until(lambda: all(_core(sim, me).view == 2 for me in (0, 2)), 60 * TICK)
    sim.network.lose.clear()
    sim.run(4 * TICK)
    heal(sim)
    finish(sim)
    return sim


def slow_network() -> Simulation:
    """Frames take longer than T: a view succeeds only because the timeout grows."""
    sim = Simulation(7)
    sim.network.delay_max = 1500
    sim.submit(b"one seat")
    if not sim.run_until(lambda: bool(sim.outcomes), 4_000 * TICK):
        raise InvariantViolated("no view succeeded")
    return sim


SCENARIOS: dict[str, Callable[[], tuple[Simulation, Transcript]]] = {
    "1_normal_case": normal_case,
    "2_silent_primary": silent_primary,
    "3_committed_survives": committed_survives,
    "4_highest_view": highest_view,
    "5_unjustified_choice": unjustified_choice,
    "6_equivocation": equivocation,
    "7_lost_log": lost_log,
    "8_new_member": new_member,
}
if __name__ == "__main__":
    for name, scenario in SCENARIOS.items():
        (FOLDER / f"{name}.txt").write_text(scenario()[1].text())
