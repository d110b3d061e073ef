"""Scenes played step by step. Each tells its story into a golden file, and some trap a bug."""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from cinesync.pbft.core import Core
from cinesync.pbft.messages import Commit, NewView, PbftMessage, ViewChange, encode
from cinesync.pbft.replica import Send
from tests.simulation.byzantine import Equivocator, Liar, resigned
from tests.simulation.fakes import configuration, validator
from tests.simulation.invariants import Broken
from tests.simulation.simulate import finish, heal, lose
from tests.simulation.simulation import TICK, Node, World
from tests.simulation.transcript import Transcript

FOLDER = Path(__file__).parent / "scenarios"


def _quiet_world(spares: int = 0) -> tuple[World, Transcript]:
    world = World(7, spares=spares)
    world.network.delay_max = 1
    return world, Transcript(world)


def _core(world: World, me: int) -> Core:
    replica = world.nodes[me].replica
    assert replica is not None
    return replica.core


def normal_case() -> tuple[World, Transcript]:
    world, story = _quiet_world()
    story.say("A client asks all four. Validator 0 is primary of view 0 and proposes.")
    world.ask(b"one seat")
    world.run(3 * TICK)
    story.say("A second block; every second height (K = 2 here) is a checkpoint.")
    world.ask(b"two seats")
    world.run(3 * TICK)
    return world, story


def silent_primary() -> tuple[World, Transcript]:
    world, story = _quiet_world()
    world.cut_off(0)
    story.say("The primary hears nobody. The others wait T = 8 ticks, then replace it.")
    world.ask(b"one seat")
    world.run(12 * TICK)
    story.say("It comes back, and is told what it missed.")
    world.network.heal()
    finish(world)
    return world, story


def committed_survives() -> tuple[World, Transcript]:
    """One replica decides in view 0, alone; the next view must choose the same block."""
    world, story = _quiet_world()
    world.network.lose = {(b"commit", 0), (b"commit", 1), (b"commit", 2)}
    story.say(
        "Only validator 3 receives the commits: it alone applies the block. Then it is cut off."
    )
    world.ask(b"one seat")
    world.run(2 * TICK)
    world.cut_off(3)
    while not _core(world, 0).view:
        world.run(1)
    world.network.lose.clear()
    story.say("The others never decided, but they prepared: their view-changes say so.")
    world.run(4 * TICK)
    story.say("Healed: everybody has the block that validator 3 applied.")
    heal(world)
    finish(world)
    return world, story


def highest_view(liar: Callable[[World], Liar] | None = None) -> tuple[World, Transcript]:
    """Two blocks were prepared at one height, in views 0 and 1; only the later can be committed."""
    world, story = _quiet_world()
    world.network.lose = {(b"prepare", 0), (b"prepare", 1), (b"prepare", 2)}
    story.say("View 0: only validator 3 receives the prepares, and prepares. Then it is cut off.")
    world.ask(b"one seat")
    world.run(2 * TICK)
    world.cut_off(3)
    while not all(_core(world, me).view == 1 for me in (0, 2)):
        world.run(1)
    world.network.lose = {(name, to) for name in (b"commit", b"decided") for to in (0, 1, 3)}
    story.say("View 1 knows nothing of it and orders another block. Only validator 2 commits it.")
    world.run(3 * TICK)
    story.say("Validator 2 is cut off too. Nothing moves; 0 and 1 ask for view 2.")
    world.cut_off(2, 3)
    world.run(20 * TICK)
    story.say(
        "Validator 3 is back. Nobody opens view 2, and view 3 must choose the block of view 1."
    )
    if liar is not None:
        world.nodes[3].honest = False
        world.nodes[3].tell = liar(world)
    world.network.lose.clear()
    world.cut_off(2)
    world.run_until(lambda: _core(world, 0).executed > 0, 80 * TICK)
    story.say("Validator 2 is back.")
    heal(world)
    finish(world)
    return world, story


class Nuller(Liar):
    """Opens its view with null requests instead of what was prepared."""

    def tell(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
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


def unjustified_choice() -> tuple[World, Transcript]:
    return highest_view(Nuller)


def equivocation() -> tuple[World, Transcript]:
    world, story = _quiet_world()
    world.nodes[0].honest = False
    world.nodes[0].tell = Equivocator(world)
    story.say("The primary lies: one block for validator 2, another for 1 and 3.")
    world.ask(b"one seat")
    finish(world)
    return world, story


def lost_log() -> tuple[World, Transcript]:
    world, story = _quiet_world()
    for index in range(4):
        world.ask(b"%d" % index)
        world.run(3 * TICK)
    story.lines.clear()
    story.say(
        "Validator 3 loses its disk. It asks how high it may have signed, and fetches the state."
    )
    lose(world, world.nodes[3], wiped=True)
    world.run(10 * TICK)
    story.say("It follows, but votes for nothing until height 4 + 4L = 20 is stable.")
    world.ask(b"again")
    world.run(4 * TICK)
    return world, story


def new_member() -> tuple[World, Transcript]:
    world, story = _quiet_world(spares=1)
    wanted = configuration(epoch=1)
    everyone = (validator(0, 1), *wanted.validators[1:3], validator(4))
    wanted = msgspec.structs.replace(wanted, validators=everyone)
    story.say(
        "An operator orders epoch 1: 0 gets a new key, 3 leaves, 4 joins. It takes effect at n4."
    )
    world.ask(b"", "operator", wanted)
    world.run(8 * TICK)
    story.say(
        "The clients learn of it. Validator 4 follows the signatures from genesis to epoch 1."
    )
    world.run(8 * TICK)
    world.ask(b"one seat")
    finish(world)
    return world, story


class Pretender(Liar):
    """Never opens a view, and claims to have prepared null requests in the latest one."""

    def tell(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        if isinstance(message, ViewChange):
            forged = [
                msgspec.structs.replace(proof, view=message.view - 1, digest=bytes(32))
                for proof in message.prepared
            ]
            message = msgspec.structs.replace(message, prepared=tuple(forged))
            yield Send(send.to, encode(resigned(node, message)))
        elif not isinstance(message, NewView):
            yield send


def forged_certificate() -> World:
    """Validator 3 alone has decided; the next view must not believe a liar whose view is later."""
    world, _ = _quiet_world()
    world.network.lose = {(b"commit", 0), (b"commit", 1), (b"commit", 2)}
    world.ask(b"one seat")
    world.run(2 * TICK)
    world.nodes[1].honest = False
    world.nodes[1].tell = Pretender(world)
    world.cut_off(3)
    world.run_until(lambda: all(_core(world, me).view == 2 for me in (0, 2)), 60 * TICK)
    world.network.lose.clear()
    world.run(4 * TICK)
    heal(world)
    finish(world)
    return world


def slow_network() -> World:
    """Frames take longer than T: only who waits longer each time sees a view through."""
    world = World(7)
    world.network.delay_max = 1500
    world.ask(b"one seat")
    if not world.run_until(lambda: bool(world.outcomes), 4_000 * TICK):
        raise Broken("nobody was patient enough")
    return world


SCENES: dict[str, Callable[[], tuple[World, Transcript]]] = {
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
    for name, scene in SCENES.items():
        (FOLDER / f"{name}.txt").write_text(scene()[1].text())
