"""The simulator: a seeded network, disks and clocks around the production replicas."""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from random import Random

from cinesync.pbft.client import PbftClient, RequestOutcome
from cinesync.pbft.core import Core
from cinesync.pbft.messages import Configuration, MalformedMessage, digest_of
from cinesync.pbft.ports import Parameters
from cinesync.pbft.replica import Ready, Replica, Send, initial_log
from tests.simulation.fakes import Disk, FakeApplication, FakeKeys, configuration
from tests.simulation.invariants import InvariantChecker, InvariantViolated

TICK = 20  # units of time
KEYS = FakeKeys()
PARAMETERS = Parameters(
    interval=2,
    window=4,
    timeout_ticks=8,
    status_ticks=4,
    idle_ticks=16,
    in_flight_max=3,
    partial_in_flight_max=3,
    block_requests_max=4,
    pending_max=64,
    clock_skew_max=2_000,
)
CHANGES = (b"accepted", b"refused")


def kind(frame: bytes) -> bytes:
    """The name an encoded message starts with."""
    return frame[2 : 2 + (frame[1] & 0x1F)]


def _epoch(configuration: Configuration) -> int:
    return configuration.epoch


class Killed(Exception):
    """The process was killed."""


@dataclass
class Network:
    """Probabilities per frame, and the links that are cut."""

    drop: float = 0.0
    duplicate: float = 0.0
    delay_max: int = 4
    cut: set[tuple[int | str, int]] = field(default_factory=set)  # (from, to), one way
    lose: set[tuple[bytes, int]] = field(default_factory=set)  # (kind of message, to)

    def heal(self) -> None:
        self.drop = self.duplicate = 0.0
        self.delay_max = 4
        self.cut.clear()
        self.lose.clear()


Filter = Callable[["Node", Iterable[Send]], Iterable[Send]]


@dataclass
class Node:
    """A machine: its disk and identity survive its process."""

    me: int
    disk: Disk
    honest: bool = True
    paused: bool = False
    skew: int = 0
    starts: int = 0
    replica: Replica | None = None
    application: FakeApplication = field(init=False)
    inbox: list[tuple[int | str, bytes]] = field(default_factory=list)
    outgoing: Filter | None = None  # an adversary's filter over what it sends


class Simulation:
    def __init__(
        self,
        seed: int,
        *,
        n: int = 4,
        parameters: Parameters = PARAMETERS,
        genesis: Configuration | None = None,
        spares: int = 0,
    ) -> None:
        self.rng = Random(seed)
        self.parameters = parameters
        self.genesis = genesis or configuration(n)
        self.network = Network()
        self.invariants = InvariantChecker(parameters.window)
        self.time = 10_000
        self.queue: list[tuple[int, int, Callable[[], None]]] = []
        self.order = 0
        self.kill_chance = 0.0
        self.kill_at: tuple[int, int] | None = None  # (node, how many boundaries from now)
        self.restart_after = 120
        self.disadvantaged: int | None = None  # the node with the worst network
        self.boundaries = 0
        self.nodes = {
            me: Node(me, Disk(initial_log(self.genesis)))
            for me in range(len(self.genesis.validators) + spares)
        }
        self.clients = {
            client.name: PbftClient(client.name, self.genesis, KEYS, 1)
            for client in self.genesis.clients
        }
        self.twins: dict[int, Node] = {}  # second replicas with the identity of a node
        self.outcomes: dict[tuple[str, int], RequestOutcome] = {}
        self.submitted: set[tuple[str, int]] = set()
        self.trace: Callable[[int, int | str, bytes], None] | None = None
        for node in self.nodes.values():
            self.start(node)
            self.after(self.rng.randrange(TICK), partial(self.tick_of, node))
        self.after(TICK, self._tick_clients)

    # time

    def after(self, delay: int, action: Callable[[], None]) -> None:
        self.order += 1
        heapq.heappush(self.queue, (self.time + delay, self.order, action))

    def run(self, duration: int) -> None:
        end = self.time + duration
        while self.queue and self.queue[0][0] <= end:
            self.time, _, action = heapq.heappop(self.queue)
            action()
        self.time = end

    def run_until(self, done: Callable[[], bool], limit: int) -> bool:
        end = self.time + limit
        while not done():
            if self.time >= end:
                return False
            self.run(TICK)
        return True

    # processes

    def start(self, node: Node) -> None:
        node.starts += 1
        node.application = FakeApplication(node.disk)
        node.replica = Replica(
            node.me,
            self.genesis,
            KEYS,
            node.application,
            list(node.disk.durable),
            nonce=node.starts,
            parameters=self.parameters,
        )
        self._pump(node)

    def kill(self, node: Node) -> None:
        node.disk.crash(self.rng)
        node.replica = None
        node.inbox.clear()

    def restart_all(self) -> None:
        for node in self.nodes.values():
            node.paused = False
            if node.replica is None:
                self.start(node)

    def _boundary(self, node: Node) -> None:
        self.boundaries += 1
        if self.kill_at is not None and self.kill_at[0] == node.me:
            self.kill_at = (node.me, self.kill_at[1] - 1)
            if self.kill_at[1] < 0:
                self.kill_at = None
                raise Killed
        if self.kill_chance and self.rng.random() < self.kill_chance:
            raise Killed

    def _pump(self, node: Node) -> None:
        """Persist, then send, then apply. The process may be killed between any two of them."""
        try:
            while node.replica is not None and (ready := node.replica.ready()):
                self._carry_out(node, node.replica, ready)
                if not ready.blocks:
                    break  # nothing was applied, so nothing new can follow
        except Killed:
            self.kill(node)
            self.after(self.restart_after, lambda: self.start_again(node))

    def start_again(self, node: Node) -> None:
        if node.replica is None:
            self.start(node)

    def _carry_out(self, node: Node, replica: Replica, ready: Ready) -> None:
        if ready.records:
            self._boundary(node)
            if node.disk.full:
                raise Killed  # a failed write is fatal
            node.disk.write(ready.records, replace=ready.replace)
            self._boundary(node)
            node.disk.fsync()
        self._boundary(node)
        sends = list(ready.sends if node.outgoing is None else node.outgoing(node, ready.sends))
        for index, send in enumerate(sends):
            if index == 1:
                self._boundary(node)
            if node.honest:
                self.invariants.sent(node.me, send.frame)
            self.transmit(node.me, send)
        self._boundary(node)
        if node.honest:
            self._apply(node, replica, ready)
        else:
            replica.advance(ready)

    def _apply(self, node: Node, replica: Replica, ready: Ready) -> None:
        heads: dict[int, bytes] = {}
        for proof in ready.blocks:
            replica.advance(Ready(replace=False, records=(), sends=(), blocks=(proof,)))
            heads[proof.height] = node.application.head
        for proof in ready.blocks:
            block = digest_of(proof.block)
            self.invariants.applied(replica, block, proof.height, heads[proof.height])

    # messages

    def transmit(self, source: int, send: Send) -> None:
        if self.trace is not None:
            self.trace(source, send.to, send.frame)
        if isinstance(send.to, str):
            self.after(1, lambda: self._answer(source, str(send.to), send.frame))
        elif send.to in self.nodes:
            self._carry(source, send.to, send.frame)

    def _carry(self, source: int | str, to: int, frame: bytes) -> None:
        network = self.network
        if (network.cut or network.lose) and self.loses(source, to, frame):
            return
        if network.drop and self.rng.random() < network.drop:
            return
        copies = 2 if network.duplicate and self.rng.random() < network.duplicate else 1
        for _ in range(copies):
            delay = 1 + int(self.rng.random() * network.delay_max)
            self.after(delay, lambda: self.deliver(source, to, frame))

    def loses(self, source: int | str, to: int | str, frame: bytes) -> bool:
        """Whether the network surely loses it; random losses are drawn per frame."""
        network = self.network
        return isinstance(to, int) and (
            (source, to) in network.cut
            or (bool(network.lose) and (kind(frame), to) in network.lose)
        )

    def cut_off(self, *who: int) -> None:
        """Cut all links of these nodes, and restore all others."""
        alone, all_of_them = set(who), set(self.nodes)
        self.network.cut = {
            (one, other)
            for one in all_of_them
            for other in all_of_them - {one}
            if one in alone or other in alone
        }

    def deliver(self, source: int | str, to: int, frame: bytes) -> None:
        whose = 0 if to not in self.twins else self.rng.randrange(3)
        if whose != 1:
            self.deliver_to(self.nodes[to], source, frame)
        if whose != 0:
            self.deliver_to(self.twins[to], source, frame)

    def deliver_to(self, node: Node, source: int | str, frame: bytes) -> None:
        if node.paused:
            node.inbox.append((source, frame))
        elif node.replica is not None:
            try:
                node.replica.step(source, frame, self.time + node.skew)
            except MalformedMessage:
                return
            self._pump(node)

    def resume(self, node: Node) -> None:
        node.paused = False
        waiting, node.inbox = node.inbox, []
        for source, frame in waiting:
            self.deliver_to(node, source, frame)

    def tick_of(self, node: Node) -> None:
        self.after(TICK, lambda: self.tick_of(node))
        if node.replica is not None and not node.paused:
            node.replica.tick(self.time + node.skew)
            self._pump(node)

    # clients

    def submit(
        self, operation: bytes, name: str = "ada", change: Configuration | None = None
    ) -> None:
        client = self.clients[name]
        if client.window_left <= 0:
            return
        self.submitted.add((name, client.next_sequence))
        for send in client.submit((operation,), change):
            self._from_client(name, send)

    def _from_client(self, name: str, send: Send) -> None:
        assert isinstance(send.to, int)
        self._carry(name, send.to, send.frame)

    def _answer(self, source: int, name: str, frame: bytes) -> None:
        try:
            outcome = self.clients[name].step(source, frame)
        except MalformedMessage:
            return
        if outcome is not None:
            self.outcomes[name, outcome.sequence] = outcome

    def _tick_clients(self) -> None:
        self.after(TICK, self._tick_clients)
        newest = max(
            (core.configuration for core in self._cores()), key=_epoch, default=self.genesis
        )
        for name, client in self.clients.items():
            sends = (
                client.use_configuration(newest)
                if client.configuration != newest
                else client.tick()
            )
            for send in sends:
                self._from_client(name, send)

    # the end of a run

    @property
    def honest(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.honest]

    def _cores(self) -> list[Core]:
        return [node.replica.core for node in self.honest if node.replica is not None]

    def settled(self) -> bool:
        """Whether every request has an outcome, and every honest member has applied all."""
        if self.outcomes.keys() != self.submitted:
            return False
        live = self._cores()
        if len(live) < len(self.honest):
            return False
        newest = max((core.configuration for core in live), key=_epoch)
        members = [core for core in live if newest.key(core.me) is not None]
        return len({(core.configuration.epoch, core.executed) for core in members}) == 1

    def check_end(self) -> None:
        """Every outcome is in every honest state, and its attestations are of the same chain."""
        for outcome in self.outcomes.values():
            for one in outcome.attestations:
                if self.invariants.heads.get(one.height, one.digest) != one.digest:
                    raise InvariantViolated(f"a receipt for another chain at height {one.height}")
            if outcome.result not in (b"%d@%d" % (outcome.sequence, outcome.height), *CHANGES):
                raise InvariantViolated(f"a client accepted {outcome.result!r}")
        answered = {key for key in self.outcomes if key[0] != "operator"}
        for node in self.honest:
            member = node.replica is not None and node.replica.core.member
            if member and not answered <= set(node.application.applied):
                raise InvariantViolated(f"replica {node.me} lost what a client was answered")
