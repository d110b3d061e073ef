"""What the driver injects: keys, the replicated state machine, and parameters."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cinesync.pbft.messages import Request


class Keys(Protocol):
    """ECDSA P-256 in production; a keyed hash in the simulator."""

    def sign(self, public_key: bytes, payload: bytes) -> bytes:
        """Sign with the private half of public_key. Around a re-key a validator has both."""
        ...

    def verify(self, public_key: bytes, payload: bytes, signature: bytes) -> bool: ...


@dataclass(frozen=True, slots=True)
class Applied:
    results: Sequence[bytes]  # one for each request, in order
    digest: bytes  # 32 bytes over every block so far and its results: a header's hash


@dataclass(frozen=True, slots=True)
class ApplicationSnapshot:
    manifest: bytes  # enough to verify every chunk
    chunks: int


class Application(Protocol):
    """Deterministic: equal calls give equal results on every validator."""

    def validate(self, operation: bytes) -> bool:
        """Whether a block may contain it. Must not depend on state: blocks are pipelined."""
        ...

    def apply(self, height: int, time: int, requests: Sequence[Request]) -> Applied: ...

    def snapshot(self, height: int) -> ApplicationSnapshot:
        """Store the current state durably, for `restore` and `chunk`."""
        ...

    def chunk(self, height: int, index: int) -> bytes | None: ...

    def receive(self, height: int, manifest: bytes, index: int, data: bytes) -> bool:
        """Verify a chunk of another replica's snapshot and stage it; False if it is invalid."""
        ...

    def restore(self, height: int, manifest: bytes) -> bool:
        """Load a snapshot that was taken or received, or (height 0) the empty state.

        False if the snapshot is not here.
        """
        ...

    def reset(self) -> None:
        """Load the empty state: the log does not prove the stored one. Set the stored one aside
        and do not delete it: it may be the last copy."""
        ...

    def discard(self, below: int) -> None:
        """Snapshots below this height are no longer needed."""
        ...


@dataclass(frozen=True, slots=True)
class Parameters:
    """Limits and timeouts, the same on every validator. Timeouts are in ticks."""

    interval: int = 64  # K: a checkpoint every so many heights
    window: int = 128  # L: the high mark above the stable checkpoint, a multiple of K
    timeout_ticks: int = 20  # T, the view timeout
    doublings_max: int = 8  # the longest view timeout is T * 2**8
    status_ticks: int = 5
    idle_ticks: int = 20  # between two equal announcements when idle; a multiple of status_ticks
    in_flight_max: int = 8  # blocks proposed and not yet applied
    partial_in_flight_max: int = 2  # with so many in flight, the next block waits until it is full
    full_operations: int = 256  # a block is full with so many, or with block_requests_max
    block_requests_max: int = 64
    block_bytes_max: int = 1024 * 1024
    pending_max: int = 4_096  # requests waiting; above that, clients must retry
    resend_max: int = 8  # heights resent to a peer at once
    clock_skew_max: int = 2_000_000  # between a block's time and the local clock, in its unit

    def __post_init__(self) -> None:
        assert self.window % self.interval == 0
        assert self.window >= 2 * self.interval
        assert self.idle_ticks % self.status_ticks == 0
