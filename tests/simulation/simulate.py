"""Run seeds: `python -m tests.simulation.simulate --seeds 10000`. A failure prints its seed.

A seed decides everything: the faults of network, disks, processes and clocks, and the adversary.
After a time of faults all heal, except the adversary and lost logs; then every request must commit.
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

from tests.simulation.byzantine import ADVERSARIES, Adversary
from tests.simulation.fakes import validator
from tests.simulation.invariants import InvariantViolated
from tests.simulation.simulation import PARAMETERS, Node, Simulation
from tests.simulation.twins import twin

FAULT_TIME = 900
SETTLE_TIME_MAX = 60_000
VIEWS_MAX = 40
Fault = Callable[[Simulation, Node], None]


def run_seed(seed: int, faults: Sequence[Fault] = ()) -> Simulation:
    """One run of a cluster. Raises InvariantViolated, or whatever else went wrong."""
    hurry = 1 + seed % PARAMETERS.in_flight_max
    parameters = replace(PARAMETERS, partial_in_flight_max=hurry)
    sim = Simulation(seed, n=7 if seed % 100 == 99 else 4, parameters=parameters)
    rng = sim.rng
    fault = rng.choice(faults or FAULTS)
    fault(sim, rng.choice(list(sim.nodes.values())))
    _random_conditions(sim)
    trouble = _random_fault if seed % 2 and not faults else _random_partitions
    for index in range(6):
        sim.submit(b"%d" % index)
        if rng.random() < 0.6:
            trouble(sim)
        if index == 3 and rng.random() < 0.15:
            _change(sim)
    heal(sim)
    finish(sim)
    return sim


def finish(sim: Simulation) -> None:
    if not sim.run_until(sim.settled, SETTLE_TIME_MAX):
        marks = [
            n.replica
            and (
                n.me,
                n.honest,
                n.replica.core.view,
                n.replica.core.executed,
                n.replica.core.log.low,
            )
            for n in sim.nodes.values()
        ]
        raise InvariantViolated(
            f"no progress: {len(sim.outcomes)} of {len(sim.submitted)} answered, {marks}"
        )
    if sim.invariants.views > VIEWS_MAX:
        raise InvariantViolated(f"{sim.invariants.views} views")
    sim.check_end()


def heal(sim: Simulation) -> None:
    sim.network.heal()
    sim.kill_chance, sim.kill_at = 0.0, None
    for node in sim.nodes.values():
        node.skew = 0
        if node.paused:
            sim.resume(node)
    sim.restart_all()


# faults of all nodes and the network


def _random_conditions(sim: Simulation) -> None:
    rng, network = sim.rng, sim.network
    network.drop = rng.choice([0.0, 0.0, 0.05, 0.2])
    network.duplicate = rng.choice([0.0, 0.1])
    network.delay_max = rng.choice([4, 15, 60])
    sim.kill_chance = rng.choice([0.0, 0.0, 0.002, 0.01])
    if rng.random() < 0.3:
        for node in sim.nodes.values():
            node.skew = rng.randint(-1_500, 1_500)


def _change(sim: Simulation) -> None:
    """The next epoch: the validators in another order, one of them with a new key."""
    order = sim.rng.sample([v.replica for v in sim.genesis.validators], sim.genesis.size)
    fresh = sim.rng.choice(order)
    validators = tuple(validator(replica, int(replica == fresh)) for replica in order)
    wanted = structs.replace(sim.genesis, epoch=1, validators=validators)
    sim.submit(b"", "operator", wanted)


def _random_partitions(sim: Simulation) -> None:
    """Cut and restore links one way at a time, about as fast as views change."""
    rng, pairs = sim.rng, list(permutations(sim.nodes, 2))
    share = rng.choice([0.0, 0.15, 0.3])
    sim.network.cut = {pair for pair in pairs if rng.random() < share}
    sim.network.lose = {
        (name, to)
        for name in (b"prepare", b"commit", b"decided", b"blockfound")
        if rng.random() < 0.6
        for to in rng.sample(list(sim.nodes), len(sim.nodes) - rng.randrange(3))
    }
    if sim.disadvantaged is not None:
        hidden = {(sim.disadvantaged, to) for to in sim.nodes if rng.random() < 0.6}
        sim.network.cut |= hidden
        sim.disadvantaged = rng.choice([None, *sim.nodes, 0])
    sim.run(rng.choice([10, 40, 120, 250, 400]))


def _random_fault(sim: Simulation) -> None:
    sim.run(FAULT_TIME // 9)
    rng, nodes = sim.rng, list(sim.nodes.values())
    node = rng.choice(nodes)
    what = rng.randrange(9)
    if what == 0:
        _partition(sim, rng.sample(nodes, len(nodes) // 2), both_ways=True)
    elif what == 1:
        _partition(sim, [node], both_ways=False)
    elif what == 2:
        sim.network.cut.clear()
    elif what == 3:
        sim.kill(node)
        sim.after(rng.randrange(400), lambda: sim.start_again(node))
    elif what == 4:
        node.paused = True
        sim.after(rng.randrange(400), lambda: sim.resume(node))
    elif what == 5:
        _power_cut(sim)
    elif what == 6:
        sim.kill_at = (node.me, rng.randrange(12))


def _power_cut(sim: Simulation) -> None:
    if sim.rng.random() < 0.3:
        for node in sim.nodes.values():
            sim.kill(node)
        sim.restart_all()


def _partition(sim: Simulation, side: Iterable[Node], *, both_ways: bool) -> None:
    inside = {node.me for node in side}
    for one, other in combinations(sim.nodes, 2):
        if (one in inside) != (other in inside):
            sim.network.cut.add((one, other))
            if both_ways:
                sim.network.cut.add((other, one))


# faults of at most f nodes


def _nothing(sim: Simulation, node: Node) -> None:
    pass


def _byzantine(sim: Simulation, node: Node) -> None:
    node.honest = False
    node.outgoing = sim.rng.choice(ADVERSARIES)(sim)


def with_adversary(adversary: Callable[[Simulation], Adversary]) -> Fault:
    """Validator 1 is this adversary; validator 0, the primary, has the worst network."""

    def fault(sim: Simulation, _: Node) -> None:
        sim.nodes[1].honest = False
        sim.nodes[1].outgoing = adversary(sim)
        sim.disadvantaged = 0

    return fault


def disadvantaged(sim: Simulation, _: Node) -> None:
    sim.disadvantaged = 0


def _twins(sim: Simulation, node: Node) -> None:
    node.honest = False
    twin(sim, node)


def _wipe(sim: Simulation, node: Node) -> None:
    sim.after(sim.rng.randrange(FAULT_TIME), lambda: lose_log(sim, node, wiped=True))


def _flip(sim: Simulation, node: Node) -> None:
    sim.after(sim.rng.randrange(FAULT_TIME), lambda: lose_log(sim, node, wiped=False))


def lose_log(sim: Simulation, node: Node, *, wiped: bool) -> None:
    """Wipe or damage its log: it must notice, abstain, and vote again later."""
    sim.kill(node)
    if wiped:
        node.disk.wipe()
    else:
        node.disk.flip_bit(sim.rng)
    sim.start(node)


def _full(sim: Simulation, node: Node) -> None:
    """Writes fail for a while: the process stops each time, and sends nothing."""
    sim.after(sim.rng.randrange(FAULT_TIME), lambda: _fill(node, full=True))
    sim.after(FAULT_TIME, lambda: _fill(node, full=False))


def _fill(node: Node, *, full: bool) -> None:
    node.disk.full = full


FAULTS: tuple[Fault, ...] = (
    _nothing,
    _byzantine,
    _byzantine,
    _byzantine,
    _twins,
    _wipe,
    _flip,
    _full,
)


def verdict(seed: int) -> str | None:
    """What went wrong with a seed, if anything."""
    try:
        run_seed(seed)
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
