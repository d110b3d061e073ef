"""Twins (arXiv 2004.10617): a second copy of a validator with its key, and another memory.

Equivocation needs no special code: two honest programs with one identity contradict each other as
soon as the network tells them different things.
"""

from cinesync.pbft.replica import initial_log
from tests.simulation.fakes import Disk
from tests.simulation.simulation import Node, Simulation


def twin(sim: Simulation, node: Node) -> Node:
    """A frame for the validator reaches one of the two, or both; each speaks in its name."""
    node.honest = False
    copy = Node(node.me, Disk(initial_log(sim.genesis)), honest=False)
    sim.twins[node.me] = copy
    sim.start(copy)
    sim.after(7, lambda: sim.tick_of(copy))
    return copy
