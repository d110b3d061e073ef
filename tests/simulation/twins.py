"""Twins (arXiv 2004.10617): a second copy of a validator with its key, and another memory.

Equivocation needs no special code: two honest programs with one identity contradict each other as
soon as the network tells them different things.
"""

from cinesync.pbft.replica import initial_log
from tests.simulation.fakes import Disk
from tests.simulation.simulation import Node, World


def twin(world: World, node: Node) -> Node:
    """A frame for the validator reaches one of the two, or both; each speaks in its name."""
    node.honest = False
    copy = Node(node.me, Disk(initial_log(world.genesis)), honest=False)
    world.twins[node.me] = copy
    world.start(copy)
    world.after(7, lambda: world.tick_of(copy))
    return copy
