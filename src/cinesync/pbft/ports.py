"""What the driver injects: keys, and the state machine that is replicated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cinesync.pbft.messages import Request


class Keys(Protocol):
    """ECDSA P-256 in production; a keyed hash in the simulator."""

    def sign(self, public_key: bytes, payload: bytes) -> bytes:
        """Sign with the private half of public_key: before and after a re-key one holds both."""
        ...

    def verify(self, public_key: bytes, payload: bytes, signature: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class Applied:
    results: Sequence[bytes]  # one for each request, in order
    digest: bytes  # 32 bytes that cover every block so far and its results: a header's hash


@dataclass(frozen=True, slots=True)
class ApplicationSnapshot:
    manifest: bytes  # enough to check every chunk against
    chunks: int


class Application(Protocol):
    """Deterministic: equal calls, equal answers, on every validator, for ever."""

    def validate(self, operation: bytes) -> bool:
        """Whether a block may hold it. It must not depend on state: blocks are pipelined."""
        ...

    def apply(self, height: int, time: int, requests: Sequence[Request]) -> Applied: ...

    def snapshot(self, height: int) -> ApplicationSnapshot:
        """Durably keep the state just reached, so that `restore` and `chunk` can have it."""
        ...

    def chunk(self, height: int, index: int) -> bytes | None: ...

    def receive(self, height: int, manifest: bytes, index: int, data: bytes) -> bool:
        """Check a chunk of another's snapshot and set it aside; False if it does not belong."""
        ...

    def restore(self, height: int, manifest: bytes) -> bool:
        """Become a snapshot taken or received, or (height 0) the genesis_state; False if unable."""
        ...

    def reset(self) -> None:
        """Be the genesis_state: the log does not vouch for the state that is here. Keep that aside,
        for nobody else may have it."""
        ...

    def discard(self, below: int) -> None:
        """Snapshots below this height are no longer asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Parameters:
    """Limits and patience. Heights in blocks, patience in ticks; the same on every validator."""

    interval: int = 64  # K: a checkpoint every so many heights
    window: int = 128  # L: the high mark above the stable checkpoint, a multiple of K
    timeout_ticks: int = 20  # T
    doublings_max: int = 8  # the longest wait is T * 2**8
    status_ticks: int = 5
    idle_ticks: int = 20  # between two equal words when nothing is under way: a multiple of it
    in_flight_max: int = 8  # blocks proposed and not yet applied
    partial_in_flight_max: int = 2  # with so many of them, the next block waits until it is full
    full_operations: int = 256  # which a block is with so many, or with all requests it may have
    block_requests_max: int = 64
    block_bytes_max: int = 1024 * 1024
    pending_max: int = 4_096  # requests waiting; above that, clients must ask again
    resend_max: int = 8  # heights sent again to a peer in one answer
    clock_skew_max: int = 2_000_000  # how far a block's time may be from mine, in its unit

    def __post_init__(self) -> None:
        assert self.window % self.interval == 0
        assert self.window >= 2 * self.interval
        assert self.idle_ticks % self.status_ticks == 0
