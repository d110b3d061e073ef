"""Fast fakes of what a driver injects: keys, an application, and a disk with faults."""

import hashlib
import marshal
from collections.abc import Sequence
from random import Random

from cinesync.pbft.messages import Client, Configuration, Request, Validator
from cinesync.pbft.ports import ApplicationSnapshot, Applied


class FakeKeys:
    """A keyed hash; no node of the simulator signs with a key of another."""

    def sign(self, public_key: bytes, payload: bytes) -> bytes:
        return hashlib.blake2b(payload, key=public_key, digest_size=16).digest()

    def verify(self, public_key: bytes, payload: bytes, signature: bytes) -> bool:
        return self.sign(public_key, payload) == signature


def validator(replica: int, generation: int = 0) -> Validator:
    return Validator(replica, b"v%d.%d" % (replica, generation))


def configuration(n: int = 4, epoch: int = 0, clients: Sequence[str] = ("ada",)) -> Configuration:
    names = [Client(name, b"c:" + name.encode()) for name in clients]
    operator = Client("operator", b"c:operator", operator=True)
    return Configuration(epoch, tuple(validator(i) for i in range(n)), (*names, operator))


class Disk:
    """What survives a crash. `durable` was fsynced; `writing` may be lost, in whole or in part."""

    def __init__(self, rows: Sequence[bytes]) -> None:
        self.durable = list(rows)
        self.before: list[bytes] | None = None
        self.full = False
        self.snapshots: dict[int, tuple[bytes, list[bytes]]] = {}

    def write(self, rows: Sequence[bytes], *, replace: bool) -> None:
        self.before = list(self.durable)
        self.durable = list(rows) if replace else [*self.durable, *rows]

    def fsync(self) -> None:
        self.before = None

    def crash(self, rng: Random) -> None:
        """Lose a suffix that was not fsynced, maybe tearing a row; undo an unfinished replace."""
        if self.before is None:
            return
        kept, grown = self.before, self.durable[: len(self.before)] == self.before
        if grown:
            fresh = self.durable[len(kept) :]
            count = rng.randint(0, len(fresh))
            kept = kept + fresh[:count]
            if count < len(fresh) and rng.random() < 0.5:
                kept = [*kept, fresh[count][: rng.randrange(len(fresh[count]))]]
        self.durable, self.before = kept, None

    def flip_bit(self, rng: Random) -> None:
        index = rng.randrange(len(self.durable))
        row = bytearray(self.durable[index])
        row[rng.randrange(len(row))] ^= 1 << rng.randrange(8)
        self.durable[index] = bytes(row)

    def wipe(self) -> None:
        self.durable, self.before, self.snapshots = [], None, {}


CheckpointState = tuple[bytes, tuple[tuple[str, int], ...]]


class FakeApplication:
    """A hash chain over all applied requests, and their list, to detect a second application."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._staged: dict[int, bytes] = {}
        self.head = bytes(32)
        self.applied: tuple[tuple[str, int], ...] = ()

    def validate(self, operation: bytes) -> bool:
        return not operation.startswith(b"bad")

    def apply(self, height: int, time: int, requests: Sequence[Request]) -> Applied:
        keys = tuple(request.key for request in requests)
        assert not set(keys) & set(self.applied), f"applied twice: {keys}"
        self.applied += keys
        operations = b"".join(b"".join(request.operations) for request in requests)
        text = b"%s|%d|%d|%s|%r" % (self.head, height, time, operations, keys)
        self.head = hashlib.sha256(text).digest()
        return Applied([b"%d@%d" % (key[1], height) for key in keys], self.head)

    def snapshot(self, height: int) -> ApplicationSnapshot:
        state = marshal.dumps((self.head, self.applied), 2)
        chunks = [state[: len(state) // 2], state[len(state) // 2 :]]
        manifest = b"".join(hashlib.sha256(chunk).digest() for chunk in chunks)
        self._disk.snapshots[height] = manifest, chunks
        return ApplicationSnapshot(manifest, len(chunks))

    def chunk(self, height: int, index: int) -> bytes | None:
        _, chunks = self._disk.snapshots.get(height, (b"", []))
        return chunks[index] if index < len(chunks) else None

    def receive(self, height: int, manifest: bytes, index: int, data: bytes) -> bool:
        if hashlib.sha256(data).digest() != manifest[32 * index : 32 * index + 32]:
            return False
        if index == 0:
            self._staged = {}
        self._staged[index] = data
        if len(self._staged) * 32 == len(manifest):
            chunks = [self._staged[i] for i in sorted(self._staged)]
            self._disk.snapshots[height] = manifest, chunks
        return True

    def restore(self, height: int, manifest: bytes) -> bool:
        if height == 0:
            self.reset()
            return True
        kept = self._disk.snapshots.get(height)
        if kept is None or kept[0] != manifest:
            return False
        self.head, applied = marshal.loads(b"".join(kept[1]))
        self.applied = tuple(applied)
        return True

    def reset(self) -> None:
        self.head, self.applied = bytes(32), ()

    def discard(self, below: int) -> None:
        for height in [height for height in self._disk.snapshots if height < below]:
            del self._disk.snapshots[height]
