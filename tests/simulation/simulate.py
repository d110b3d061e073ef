"""Play seeds: `python -m tests.simulation.simulate --seeds 10000`. A failure prints its seed.

A seed decides everything: the faults of network, disks, processes and clocks, who lies and how.
After a stormy while all is healed except lies and lost memory; then everything asked must commit.
"""

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import combinations, permutations
from multiprocessing import Pool

from msgspec import structs

from tests.simulation.byzantine import LIARS, Liar
from tests.simulation.fakes import validator
from tests.simulation.invariants import Broken
from tests.simulation.simulation import PARAMETERS, Node, World
from tests.simulation.twins import twin

STORM = 900
PATIENCE = 60_000
VIEWS_MAX = 40
Fault = Callable[[World, Node], None]


def play(seed: int, traitors: Sequence[Fault] = ()) -> World:
    """One life of a cluster. Raises Broken, or whatever else went wrong."""
    hurry = 1 + seed % PARAMETERS.in_flight_max
    parameters = replace(PARAMETERS, partial_in_flight_max=hurry)
    world = World(seed, n=7 if seed % 100 == 99 else 4, parameters=parameters)
    chance = world.chance
    fault = chance.choice(traitors or TRAITORS)
    fault(world, chance.choice(list(world.nodes.values())))
    _weather(world)
    trouble = _storm if seed % 2 and not traitors else _turmoil
    for index in range(6):
        world.ask(b"%d" % index)
        if chance.random() < 0.6:
            trouble(world)
        if index == 3 and chance.random() < 0.15:
            _change(world)
    heal(world)
    finish(world)
    return world


def finish(world: World) -> None:
    if not world.run_until(world.settled, PATIENCE):
        marks = [
            n.replica
            and (
                n.me,
                n.honest,
                n.replica.core.view,
                n.replica.core.executed,
                n.replica.core.log.low,
            )
            for n in world.nodes.values()
        ]
        raise Broken(f"no progress: {len(world.outcomes)} of {len(world.asked)} answered, {marks}")
    if world.watch.views > VIEWS_MAX:
        raise Broken(f"{world.watch.views} views")
    world.check_end()


def heal(world: World) -> None:
    world.network.heal()
    world.kill_chance, world.kill_at = 0.0, None
    for node in world.nodes.values():
        node.skew = 0
        if node.paused:
            world.resume(node)
    world.restart_all()


# what goes wrong for everybody, a little


def _weather(world: World) -> None:
    chance, network = world.chance, world.network
    network.drop = chance.choice([0.0, 0.0, 0.05, 0.2])
    network.duplicate = chance.choice([0.0, 0.1])
    network.delay_max = chance.choice([4, 15, 60])
    world.kill_chance = chance.choice([0.0, 0.0, 0.002, 0.01])
    if chance.random() < 0.3:
        for node in world.nodes.values():
            node.skew = chance.randint(-1_500, 1_500)


def _change(world: World) -> None:
    """The next epoch: the validators in another order, one of them with a new key."""
    order = world.chance.sample([v.replica for v in world.genesis.validators], world.genesis.size)
    fresh = world.chance.choice(order)
    validators = tuple(validator(replica, int(replica == fresh)) for replica in order)
    wanted = structs.replace(world.genesis, epoch=1, validators=validators)
    world.ask(b"", "operator", wanted)


def _turmoil(world: World) -> None:
    """Links come and go one way at a time, about as fast as views change."""
    chance, pairs = world.chance, list(permutations(world.nodes, 2))
    share = chance.choice([0.0, 0.15, 0.3])
    world.network.cut = {pair for pair in pairs if chance.random() < share}
    world.network.lose = {
        (name, to)
        for name in (b"prepare", b"commit", b"decided", b"blockfound")
        if chance.random() < 0.6
        for to in chance.sample(list(world.nodes), len(world.nodes) - chance.randrange(3))
    }
    if world.pressed is not None:
        hidden = {(world.pressed, to) for to in world.nodes if chance.random() < 0.6}
        world.network.cut |= hidden
        world.pressed = chance.choice([None, *world.nodes, 0])
    world.run(chance.choice([10, 40, 120, 250, 400]))


def _storm(world: World) -> None:
    world.run(STORM // 9)
    chance, nodes = world.chance, list(world.nodes.values())
    node = chance.choice(nodes)
    what = chance.randrange(9)
    if what == 0:
        _partition(world, chance.sample(nodes, len(nodes) // 2), both_ways=True)
    elif what == 1:
        _partition(world, [node], both_ways=False)
    elif what == 2:
        world.network.cut.clear()
    elif what == 3:
        world.kill(node)
        world.after(chance.randrange(400), lambda: world.start_again(node))
    elif what == 4:
        node.paused = True
        world.after(chance.randrange(400), lambda: world.resume(node))
    elif what == 5:
        _power_cut(world)
    elif what == 6:
        world.kill_at = (node.me, chance.randrange(12))


def _power_cut(world: World) -> None:
    if world.chance.random() < 0.3:
        for node in world.nodes.values():
            world.kill(node)
        world.restart_all()


def _partition(world: World, side: Iterable[Node], *, both_ways: bool) -> None:
    inside = {node.me for node in side}
    for one, other in combinations(world.nodes, 2):
        if (one in inside) != (other in inside):
            world.network.cut.add((one, other))
            if both_ways:
                world.network.cut.add((other, one))


# what goes wrong for f of them, badly


def _nothing(world: World, node: Node) -> None:
    pass


def _lie(world: World, node: Node) -> None:
    node.honest = False
    node.tell = world.chance.choice(LIARS)(world)


def lying(liar: Callable[[World], Liar]) -> Fault:
    """The second validator lies so, and the first, being primary, is hard to hear."""

    def fault(world: World, _: Node) -> None:
        world.nodes[1].honest = False
        world.nodes[1].tell = liar(world)
        world.pressed = 0

    return fault


def pressed(world: World, _: Node) -> None:
    world.pressed = 0


def _twins(world: World, node: Node) -> None:
    node.honest = False
    twin(world, node)


def _wipe(world: World, node: Node) -> None:
    world.after(world.chance.randrange(STORM), lambda: lose(world, node, wiped=True))


def _flip(world: World, node: Node) -> None:
    world.after(world.chance.randrange(STORM), lambda: lose(world, node, wiped=False))


def lose(world: World, node: Node, *, wiped: bool) -> None:
    """Its memory is gone or false; it must notice, abstain, and come back by itself."""
    world.kill(node)
    if wiped:
        node.disk.wipe()
    else:
        node.disk.flip_bit(world.chance)
    world.start(node)


def _full(world: World, node: Node) -> None:
    """Writes fail for a while: the process stops, each time, without having said anything."""
    world.after(world.chance.randrange(STORM), lambda: _fill(node, full=True))
    world.after(STORM, lambda: _fill(node, full=False))


def _fill(node: Node, *, full: bool) -> None:
    node.disk.full = full


TRAITORS: tuple[Fault, ...] = (_nothing, _lie, _lie, _lie, _twins, _wipe, _flip, _full)


def verdict(seed: int) -> str | None:
    """What went wrong with a seed, if anything."""
    try:
        play(seed)
    except Exception as problem:  # noqa: BLE001  any failure is a finding
        return f"seed {seed}: {problem!r}\n{traceback.format_exc(limit=-3)}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    started, failed = time.perf_counter(), 0
    with Pool(options.workers) as pool:
        for done, finding in enumerate(pool.imap(verdict, seeds, chunksize=20), 1):
            if finding is not None:
                failed += 1
                print(f"\n{finding}")  # noqa: T201
            if done % 20 == 0 or done == len(seeds):
                rate = done / (time.perf_counter() - started)
                bar = "#" * (30 * done // len(seeds))
                line = f"\r[{bar:30}] {done}/{len(seeds)} seeds, {rate:.0f}/s, {failed} failed"
                print(line, end="", flush=True, file=sys.stderr)  # noqa: T201
    print(file=sys.stderr)  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
