"""Byzantine validators: each class is a filter over what an honest validator would send.

An adversary has only its own key. Otherwise it may do anything: contradict itself, omit messages,
delay them, sign wrong ones, or replay old ones.
"""

from collections.abc import Callable, Iterable, Iterator
from random import Random

import msgspec

from cinesync.pbft.messages import (
    Checkpoint,
    Commit,
    ConsensusBlock,
    Decided,
    NewView,
    PbftMessage,
    Prepare,
    PreparedProof,
    PrePrepare,
    Reply,
    S,
    StableProof,
    StateFound,
    ViewChange,
    Vote,
    decode,
    digest,
    encode,
    payload,
)
from cinesync.pbft.replica import Send
from tests.simulation.simulation import KEYS, Node, Simulation

replace = msgspec.structs.replace


def resigned(node: Node, message: S) -> S:
    assert node.replica is not None
    key = node.replica.core.configuration.key(node.me)
    return message if key is None else replace(message, signature=KEYS.sign(key, payload(message)))


class Adversary:
    """Filters what one node sends; subclasses change it."""

    def __init__(self, sim: Simulation) -> None:
        self.sim = sim
        self.rng: Random = sim.rng

    def __call__(self, node: Node, sends: Iterable[Send]) -> Iterator[Send]:
        for send in sends:
            yield from self.outgoing(node, send, decode(send.frame))

    def outgoing(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        yield send


class Equivocator(Adversary):
    """Proposes one block to some and another to the rest, and agrees with everybody."""

    def outgoing(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        to_second = isinstance(send.to, int) and send.to % 2 == 1
        if to_second and isinstance(message, PrePrepare) and message.block is not None:
            block = ConsensusBlock(message.block.time + 1, message.block.requests)
            other = replace(message, digest=digest(block), block=block)
            yield Send(send.to, encode(resigned(node, other)))
        elif isinstance(send.to, int) and isinstance(message, Prepare | Commit):
            self._agree(node, send.to, message)
        else:
            yield send

    def _agree(self, node: Node, to: int, message: Prepare | Commit, tries: int = 3) -> None:
        """Vote for whatever the listener has accepted, once it has."""
        if node.replica is None:
            return
        listener = self.sim.nodes[to].replica
        slot = None if listener is None else listener.core.log.slots.get(message.height)
        if slot is not None and slot.proposal is not None:
            agreed = replace(message, digest=slot.proposal.digest, view=slot.proposal.view)
            self.sim.transmit(node.me, Send(to, encode(resigned(node, agreed))))
        elif tries:
            self.sim.after(5, lambda: self._agree(node, to, message, tries - 1))


class Mutator(Adversary):
    """Signs messages with a field changed: view, height or digest."""

    def outgoing(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        if isinstance(message, Reply):
            yield Send(send.to, encode(resigned(node, replace(message, result=b"lie"))))
            return
        if not isinstance(message, Prepare | Commit | PrePrepare | Checkpoint):
            yield send
            return
        wrong: Prepare | Commit | PrePrepare | Checkpoint = message
        field = self.rng.randrange(4)
        if field == 0:
            wrong = replace(message, digest=digest(ConsensusBlock(self.rng.randrange(99), ())))
        elif field == 1:
            wrong = replace(message, height=message.height + self.rng.choice([-1, 1, 2**40]))
        elif field == 2 and not isinstance(message, Checkpoint):
            wrong = replace(message, view=message.view + 1)
        if wrong.height >= 0:
            yield Send(send.to, encode(resigned(node, wrong)))


class Silent(Adversary):
    """Says nothing to some, or nothing of some kinds."""

    def __init__(self, sim: Simulation) -> None:
        super().__init__(sim)
        self.deaf = {me for me in sim.nodes if self.rng.random() < 0.5}
        self.mute = self.rng.choice([PrePrepare, Prepare, Commit, NewView, Checkpoint])

    def outgoing(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        if send.to not in self.deaf and not isinstance(message, self.mute):
            yield send


class Slow(Adversary):
    """A primary that proposes everything far too late."""

    def outgoing(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        if isinstance(message, PrePrepare):
            self.sim.after(1_500, lambda: self.sim.transmit(node.me, send))
        else:
            yield send


class UnjustifiedNewView(Adversary):
    """Opens views with an O that V does not justify, and a V of its own taste."""

    def outgoing(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        if isinstance(message, NewView):
            what = self.rng.randrange(3)
            if what == 0:
                message = replace(message, pre_prepares=message.pre_prepares[:-1])
            elif what == 1:
                wrong = (resigned(node, replace(m, digest=bytes(32))) for m in message.pre_prepares)
                message = replace(message, pre_prepares=tuple(wrong))
            else:
                message = replace(message, view_changes=message.view_changes[:-1])
            yield Send(send.to, encode(resigned(node, message)))
        else:
            yield send


class Forger(Adversary):
    """Claims in view changes to have prepared what nobody did, or hides what it did."""

    def outgoing(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        if not isinstance(message, ViewChange):
            yield send
            return
        if self.rng.random() < 0.3:
            prepared = message.prepared[:-1]
        else:
            prepared = tuple(self._invented(message))
        yield Send(send.to, encode(resigned(node, replace(message, prepared=prepared))))

    def _invented(self, message: ViewChange) -> Iterator[PreparedProof]:
        """That nothing was ever ordered, prepared in the latest possible view."""
        view, first = message.view - 1, message.stable.height + 1
        primary = self.sim.genesis.primary(view)
        others = [v.replica for v in self.sim.genesis.validators if v.replica != primary]
        votes = tuple(Vote(replica, b"?") for replica in others)
        for height in range(first, first + 3):
            ballot = (message.epoch, view, height, bytes(32))
            yield PreparedProof(*ballot, Vote(primary, b"?"), votes)


class Replayer(Adversary):
    """Uses the oldest certificates it has, forges state, repeats what was once statements."""

    def __init__(self, sim: Simulation) -> None:
        super().__init__(sim)
        self.old: list[bytes] = []

    def outgoing(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        if len(self.old) < 200:
            self.old.append(send.frame)
        if isinstance(message, ViewChange):
            genesis_state = StableProof(0, 0, bytes(32), ())
            yield Send(send.to, encode(resigned(node, replace(message, stable=genesis_state))))
        elif isinstance(message, StateFound):
            state = replace(message.state, time=message.state.time + 1)
            yield Send(send.to, encode(replace(message, state=state)))
        elif isinstance(message, Commit):
            yield send
            block = ConsensusBlock(self.sim.time, ())
            mine = resigned(node, replace(message, digest=digest(block)))
            votes = (Vote(node.me, mine.signature),) * len(self.sim.genesis.validators)
            forged = Decided(mine.epoch, mine.view, mine.height, mine.digest, votes, block)
            yield Send(send.to, encode(forged))
        else:
            yield send
        if self.rng.random() < 0.2:
            yield Send(send.to, self.rng.choice(self.old))


class HugeNumbers(Adversary):
    """Numbers near the end of the number line, views nobody is in, frames that are no message."""

    def outgoing(self, node: Node, send: Send, message: PbftMessage) -> Iterator[Send]:
        yield send
        if isinstance(message, ViewChange):
            yield Send(send.to, encode(resigned(node, replace(message, view=2**52))))
        elif isinstance(message, PrePrepare | Commit | Prepare | Checkpoint):
            yield Send(send.to, encode(resigned(node, replace(message, height=2**52))))


ADVERSARIES: tuple[Callable[[Simulation], Adversary], ...] = (
    Equivocator,
    Mutator,
    Silent,
    Slow,
    UnjustifiedNewView,
    Forger,
    Replayer,
    HugeNumbers,
)
