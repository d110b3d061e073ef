"""Does a plan: flows at intended times (open loop), or one after the other (closed loop).

Latency counts from the time a request should have started, not from when a connection was free
for it: a stalled server cannot hide behind a generator that waits with it.
"""

import asyncio
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.load.flows import Flow
from bench.load.wire import CLOSED, Wire

DRAIN_SECONDS_MAX = 30.0
TICK_SECONDS = 0.001

now = time.perf_counter


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. `arrivals` in seconds from the start; without them the loop is closed: each
    connection takes the next flow when it has done one, for `seconds` at most.

    A flow answered 503 is tried again after `retry_seconds`, when that is set.
    """

    host: str
    port: int
    flows: Sequence[Flow]
    connections: int
    arrivals: Sequence[float] | None = None
    seconds: float = 3600.0
    retry_seconds: float | None = None
    drain_seconds: float = DRAIN_SECONDS_MAX


@dataclass(slots=True)
class Report:
    """What happened. Latencies in seconds: of each step, and of whole flows (`all`).

    `answers` counts statuses by step; `unanswered` flows were broken off at the end. `finished_at`
    are seconds from the start. `lag` is how late the generator itself sent what it could send.
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    began: int = 0
    unanswered: int = 0
    retries: int = 0
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    latencies: dict[str, "array[float]"] = field(default_factory=dict)
    finished_at: "array[float]" = field(default_factory=lambda: array("d"))
    lag: "array[float]" = field(default_factory=lambda: array("d"))


class Client(Wire):
    """A connection and the flow it is doing."""

    def __init__(self, run: "Run") -> None:
        super().__init__()
        self._run = run
        self._flow: Flow | None = None
        self._step = 0
        self._request = b""
        self._intended_at = 0.0
        self._step_began_at = 0.0

    def begin(self, flow: Flow, intended_at: float) -> None:
        """The first request; its latency counts from `intended_at`."""
        self._flow = flow
        self._step = 0
        self._intended_at = self._step_began_at = intended_at
        self._request = flow.begin()
        self.send(self._request)

    def answered(self, status: int, body: bytes) -> None:
        """On to the next step, or to the next flow."""
        at, run, flow = now(), self._run, self._flow
        assert flow is not None, "nothing is sent without one"
        if status == 503 and run.plan.retry_seconds is not None:
            run.report.retries += 1
            run.loop.call_later(run.plan.retry_seconds, self._again)
            return
        name = flow.steps[self._step]
        run.report.answers[name, status] += 1
        run.latencies[name].append(at - self._step_began_at)
        request = flow.after(self._step, status, body) if status != CLOSED else None
        if request is None:
            run.finished(self, at, at - self._intended_at)
            return
        self._step += 1
        self._step_began_at = at
        self._request = request
        self.send(request)

    def _again(self) -> None:
        if self.is_open:
            self.send(self._request)
        else:
            self.answered(CLOSED, b"")


class Run:
    """One plan being done."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.loop = asyncio.get_running_loop()
        self.report = Report()
        steps = set(plan.flows[0].steps)
        self.latencies = {name: array("d") for name in (*sorted(steps), "all")}
        self._free: deque[Client] = deque()
        self._next = 0  # of the plan's flows
        self._waiting: deque[float] = deque()  # intended starts of those without a connection
        self._running = 0
        self._began_at = 0.0
        self._last_at = 0.0
        self._all_begun = False
        self._done = asyncio.Event()

    async def connect(self) -> None:
        """All connections, before the clock starts."""
        for _ in range(self.plan.connections):
            self._free.append(await self._open())

    def close(self) -> None:
        """Hang up."""
        for client in self._free:
            client.close()

    async def go(self) -> Report:
        """Until everything is answered, or has waited too long."""
        self._began_at = self._last_at = now()
        if self.plan.arrivals is None:
            self._close_loop()
            seconds_max = self.plan.seconds
        else:
            self._tick()
            seconds_max = self.plan.arrivals[-1]
        try:
            async with asyncio.timeout(seconds_max + self.plan.drain_seconds):
                await self._done.wait()
        except TimeoutError:
            self.report.unanswered = self._running + len(self._waiting)
        self.report.seconds = self._last_at - self._began_at
        self.report.latencies = self.latencies
        return self.report

    def finished(self, client: Client, at: float, seconds: float) -> None:
        """A flow is over; the connection takes the next one."""
        self._running -= 1
        self._last_at = at
        self.latencies["all"].append(seconds)
        self.report.finished_at.append(at - self._began_at)
        if not client.is_open:
            self.loop.create_task(self._replace())
        elif self.plan.arrivals is None:
            self._take_next(client, at)
        elif self._waiting:
            self._begin(client, self._waiting.popleft())
        else:
            self._free.append(client)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._all_begun and not self._running and not self._waiting:
            self._done.set()

    def _close_loop(self) -> None:
        clients = list(self._free)
        self._free.clear()
        for client in clients:
            self._take_next(client, now())

    def _take_next(self, client: Client, at: float) -> None:
        over = at - self._began_at >= self.plan.seconds
        if over or self._next >= len(self.plan.flows):
            self._all_begun = True
            self._free.append(client)
        else:
            self._begin(client, at)

    def _tick(self) -> None:
        """Begin everything that is due."""
        assert self.plan.arrivals is not None
        arrivals, at = self.plan.arrivals, now()
        begun = self.report.began + len(self._waiting)
        while begun < len(arrivals) and (due := self._began_at + arrivals[begun]) <= at:
            begun += 1
            if self._free:
                self.report.lag.append(at - due)
                self._begin(self._free.popleft(), due)
            else:
                self._waiting.append(due)
        if begun < len(arrivals):
            wait = self._began_at + arrivals[begun] - now()
            self.loop.call_later(max(wait, TICK_SECONDS), self._tick)
        else:
            self._all_begun = True

    def _begin(self, client: Client, intended_at: float) -> None:
        flow = self.plan.flows[self._next]
        self._next += 1
        self._running += 1
        self.report.began += 1
        client.begin(flow, intended_at)

    async def _open(self) -> Client:
        _, client = await self.loop.create_connection(
            lambda: Client(self), self.plan.host, self.plan.port
        )
        return client

    async def _replace(self) -> None:
        """A connection ended: another takes its place."""
        try:
            client = await self._open()
        except OSError:
            self.loop.call_later(0.05, lambda: self.loop.create_task(self._replace()))
            return
        if self.plan.arrivals is None:
            self._take_next(client, now())
        elif self._waiting:
            self._begin(client, self._waiting.popleft())
        else:
            self._free.append(client)
        self._end_if_done()
