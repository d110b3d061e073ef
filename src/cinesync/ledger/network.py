"""Frames between validators and clients: mutual TLS, bounded sizes, bounded queues.

Who somebody is follows from the key in its certificate: it must be one of the chain's own. What
is lost on the way is sent again by the consensus, so a queue that is full drops its oldest.
"""

import asyncio
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cinesync.chassis import telemetry
from cinesync.ledger import founding
from cinesync.pbft.messages import FRAME_BYTES_MAX

log = telemetry.get_logger(__name__)

QUEUE_BYTES_MAX: Final = 32 * 1024 * 1024
RECONNECT_SECONDS_FIRST: Final = 0.05
RECONNECT_SECONDS_MAX: Final = 1.0
CONNECT_SECONDS_MAX: Final = 5.0
READ_BYTES_MAX: Final = 256 * 1024
_LENGTH: Final = struct.Struct(">I")


class Kind(Enum):
    """The first byte of a frame."""

    CONSENSUS = b"p"
    QUERY = b"q"
    ANSWER = b"a"


_KINDS: Final = {ord(kind.value): kind for kind in Kind}


class BadFrame(Exception):
    """The peer sent what is no frame; the connection ends."""


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A read. What `first`, `second` and `name` mean depends on what is asked."""

    id: int
    ask: str
    first: int = 0
    second: int = 0
    name: str = ""


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To the query of that id; None: there is no such thing here."""

    id: int
    value: Any = None


class Standing(msgspec.Struct, frozen=True):
    """Where a validator says it stands."""

    replica: int
    epoch: int
    view: int
    primary: int
    active: bool
    abstaining: bool
    height: int
    stable: int
    pending: int
    size: int


def server_context(home: Path) -> ssl.SSLContext:
    return _context(ssl.PROTOCOL_TLS_SERVER, home)


def client_context(home: Path) -> ssl.SSLContext:
    return _context(ssl.PROTOCOL_TLS_CLIENT, home)


def _context(protocol: int, home: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # the certificate's key says who it is
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(home / founding.AUTHORITY_FILE)
    context.load_cert_chain(home / founding.CERTIFICATE_FILE, home / founding.KEY_FILE)
    return context


def peer_key(writer: asyncio.StreamWriter) -> bytes:
    """The public key in the peer's certificate, as the genesis spells keys."""
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def pack(kind: Kind, body: bytes) -> bytes:
    return b"".join((_LENGTH.pack(len(body) + 1), kind.value, body))


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[Kind, bytes]]:
    """Until the peer hangs up. Raises BadFrame."""
    buffer = bytearray()
    with suppress(OSError):
        while data := await reader.read(READ_BYTES_MAX):
            buffer += data
            at = 0
            while (frame := _frame(buffer, at)) is not None:
                at += _LENGTH.size + 1 + len(frame[1])
                yield frame
            del buffer[:at]
            await asyncio.sleep(0)  # who sends without a pause leaves the others their turn


def _frame(buffer: bytearray, at: int) -> tuple[Kind, bytes] | None:
    """The frame that begins there, if all of it is here. Raises BadFrame."""
    start = at + _LENGTH.size
    if len(buffer) < start:
        return None
    (size,) = _LENGTH.unpack_from(buffer, at)
    if not 1 <= size <= FRAME_BYTES_MAX + 1:
        raise BadFrame(f"{size} bytes")
    if len(buffer) < start + size:
        return None
    kind = _KINDS.get(buffer[start])
    if kind is None:
        raise BadFrame("of an unknown kind")
    return kind, bytes(memoryview(buffer)[start + 1 : start + size])


class Sender:
    """A bounded queue in front of a connection."""

    def __init__(self) -> None:
        self._queue: deque[bytes] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self.dropped = 0

    def send(self, frame: bytes) -> None:
        self._queue.append(frame)
        self._bytes += len(frame)
        while self._bytes > QUEUE_BYTES_MAX and len(self._queue) > 1:
            self._bytes -= len(self._queue.popleft())
            self.dropped += 1
        self._filled.set()

    async def flush_to(self, writer: asyncio.StreamWriter) -> None:
        """Until the connection breaks (OSError) or this is cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            frames_now, self._bytes = list(self._queue), 0
            self._queue.clear()
            writer.write(b"".join(frames_now))  # as few TLS records as can be
            await writer.drain()


class Outgoing(Sender):
    """A connection to a validator that is made again whenever it breaks."""

    def __init__(self, address: str, key: bytes, context: ssl.SSLContext) -> None:
        super().__init__()
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self._key = key
        self._context = context
        self.connected = False

    async def run(self, receive: Callable[[Kind, bytes], None]) -> None:
        """Until cancelled; `receive` gets what comes back."""
        pause_seconds = RECONNECT_SECONDS_FIRST
        while True:
            with suppress(OSError, TimeoutError, ssl.SSLError, BadFrame):
                async with asyncio.timeout(CONNECT_SECONDS_MAX):
                    reader, writer = await asyncio.open_connection(
                        self.host, self.port, ssl=self._context, server_hostname=""
                    )
                try:
                    if peer_key(writer) == self._key:
                        pause_seconds = RECONNECT_SECONDS_FIRST
                        self.connected = True
                        await self._talk(reader, writer, receive)
                finally:
                    self.connected = False
                    await drop(writer)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, RECONNECT_SECONDS_MAX)

    async def _talk(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        receive: Callable[[Kind, bytes], None],
    ) -> None:
        flushing = asyncio.create_task(self.flush_to(writer))
        flushing.add_done_callback(lambda task: _hang_up(task, writer))
        try:
            async for kind, body in frames(reader):
                receive(kind, body)
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)


async def drop(writer: asyncio.StreamWriter) -> None:
    """At once: a peer that is gone would let a polite farewell take half a minute."""
    writer.transport.abort()
    await asyncio.sleep(0)


def _hang_up(task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
    """A connection that cannot be written to is not worth reading from."""
    if not task.cancelled() and task.exception() is not None:
        writer.transport.abort()
