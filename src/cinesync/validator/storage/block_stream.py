"""The chain as one stream of bytes: blocks one after the other, cut into chunks of equal size.

A replica that lags fetches the chunks and checks each against the Merkle root in the checkpoint's
manifest. Blocks are only appended, so the hash of a full chunk is computed once.
"""

import hashlib
import struct
from collections.abc import Iterator, Sequence
from typing import Final

CHUNK_BYTES: Final = 512 * 1024
_LENGTH: Final = struct.Struct(">I")


def record(header: bytes, data: Sequence[bytes]) -> bytes:
    """A block in the stream: the number of entries, then header and entries with their lengths."""
    parts = [_LENGTH.pack(len(data))]
    for part in (header, *data):
        parts += [_LENGTH.pack(len(part)), part]
    return b"".join(parts)


def record_size(header: bytes, data: Sequence[bytes]) -> int:
    return _LENGTH.size * (2 + len(data)) + len(header) + sum(len(part) for part in data)


def records(stream: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """The blocks of a whole stream: header and entries of each."""
    at = 0
    while at < len(stream):
        (count,) = _LENGTH.unpack_from(stream, at)
        at += _LENGTH.size
        parts = []
        for _ in range(count + 1):
            (size,) = _LENGTH.unpack_from(stream, at)
            at += _LENGTH.size
            parts.append(stream[at : at + size])
            at += size
        yield parts[0], parts[1:]


class StreamTail:
    """The running hash of the stream's last chunk."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._begin()

    def _begin(self) -> None:
        self._hash, self._size = hashlib.sha256(b"\x00"), 0

    @property
    def hashes(self) -> list[bytes]:
        """The hash of the unfinished chunk, if it has bytes."""
        return [self._hash.digest()] if self._size else []

    def append(self, piece: bytes) -> Iterator[tuple[int, bytes]]:
        """Index and hash of every chunk that `piece` completes."""
        at = 0
        while at < len(piece):
            part = memoryview(piece)[at : at + CHUNK_BYTES - self._size]
            self._hash.update(part)
            self._size += len(part)
            at += len(part)
            if self._size == CHUNK_BYTES:
                yield self._index, self._hash.digest()
                self._index += 1
                self._begin()
