"""Frames between validators and clients over mutual TLS, with bounded frames and queues.

The key in a peer's certificate identifies it: the chain's configuration must name the key.
Consensus resends what is lost, so a full queue drops its oldest frames.
"""

import asyncio
import socket
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cinesync.chassis import telemetry
from cinesync.chassis.backoff import Backoff
from cinesync.pbft.catch_up import LINKS_PER_ANSWER
from cinesync.pbft.messages import FRAME_BYTES_MAX, EpochLink, EpochLinks, encode
from cinesync.validator import provisioning

log = telemetry.get_logger(__name__)

QUEUE_BYTES_MAX: Final = 32 * 1024 * 1024
RECONNECTING: Final = Backoff(first_seconds=0.05, seconds_max=1.0)
CONNECT_SECONDS_MAX: Final = 5.0
SILENT_SECONDS_MAX: Final = 5
EPOCH_DIGITS_MAX: Final = 9
READ_BYTES_MAX: Final = 256 * 1024
_LENGTH: Final = struct.Struct(">I")


class FrameKind(Enum):
    """The first byte of a frame."""

    CONSENSUS = b"p"
    QUERY = b"q"
    ANSWER = b"a"
    HELLO = b"h"  # the newest epoch that the sender knows
    LINKS = b"l"  # the epoch links since then


_KINDS: Final = {ord(kind.value): kind for kind in FrameKind}


class BadFrame(Exception):
    """The peer sent an invalid frame; the connection ends."""


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A read. `ask` names it; QueryApi says what `first`, `second` and `name` mean for each."""

    id: int
    ask: str
    first: int = 0
    second: int = 0
    name: str = ""


class QueryResponse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The result of the query with that id; None: not found."""

    id: int
    value: Any = None


class ValidatorStatus(msgspec.Struct, frozen=True):
    """The state that a validator reports of itself."""

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
    context.check_hostname = False  # the key in the certificate identifies the peer
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(home / provisioning.AUTHORITY_FILE)
    use_key(context, home / provisioning.KEY_FILE)
    return context


def use_key(context: ssl.SSLContext, key_file: Path) -> None:
    """Use this key and its certificate for new connections."""
    context.load_cert_chain(provisioning.certificate_file(key_file), key_file)


def peer_key(writer: asyncio.StreamWriter) -> bytes:
    """The public key in the peer's certificate, encoded as in the genesis."""
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def hello(epoch: int) -> bytes:
    return pack(FrameKind.HELLO, b"%d" % epoch)


def links_since(body: bytes, links: Sequence[EpochLink]) -> bytes:
    """The response to a HELLO frame. Raises BadFrame."""
    if not (body.isdigit() and len(body) <= EPOCH_DIGITS_MAX):
        raise BadFrame("not the number of an epoch")
    epoch = int(body)
    return pack(FrameKind.LINKS, encode(EpochLinks(tuple(links[epoch : epoch + LINKS_PER_ANSWER]))))


def pack(kind: FrameKind, body: bytes) -> bytes:
    return b"".join((_LENGTH.pack(len(body) + 1), kind.value, body))


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[FrameKind, bytes]]:
    """Yield frames until the connection ends. Raises BadFrame."""
    buffer = bytearray()
    with suppress(OSError):
        while data := await reader.read(READ_BYTES_MAX):
            buffer += data
            at = 0
            while (frame := _frame(buffer, at)) is not None:
                at += _LENGTH.size + 1 + len(frame[1])
                yield frame
            del buffer[:at]
            await asyncio.sleep(0)  # let other connections run, however much this one sends


def _frame(buffer: bytearray, at: int) -> tuple[FrameKind, bytes] | None:
    """The frame at this offset, if it is complete. Raises BadFrame."""
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
        raise BadFrame("unknown kind")
    return kind, bytes(memoryview(buffer)[start + 1 : start + size])


class SendQueue:
    """A bounded queue of frames for one connection."""

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
        """Write frames until the connection breaks (OSError) or the task is cancelled."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            frames_now, self._bytes = list(self._queue), 0
            self._queue.clear()
            writer.write(b"".join(frames_now))  # in as few TLS records as possible
            await writer.drain()


class ValidatorConnection(SendQueue):
    """A connection to a validator; it reconnects when it breaks."""

    def __init__(
        self, address: str, key: bytes, context: ssl.SSLContext, hello: Callable[[], bytes]
    ) -> None:
        super().__init__()
        self.address = address
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self.key = key
        self._context = context
        self._hello = hello
        self.connected = False

    async def run(self, receive: Callable[[FrameKind, bytes], None]) -> None:
        """Run until cancelled. `receive` gets the frames that arrive."""
        failures = 0
        while True:
            with suppress(OSError, TimeoutError, ssl.SSLError, BadFrame):
                async with asyncio.timeout(CONNECT_SECONDS_MAX):
                    reader, writer = await asyncio.open_connection(
                        self.host, self.port, ssl=self._context, server_hostname=""
                    )
                try:
                    set_tcp_timeouts(writer)
                    writer.write(self._hello())
                    if peer_key(writer) == self.key:
                        failures = 0
                        self.connected = True
                        await self._exchange(reader, writer, receive)
                    else:  # it has a new key, or the newest configuration is unknown here
                        await receive_links(reader, receive)
                finally:
                    self.connected = False
                    await abort(writer)
            failures += 1
            await asyncio.sleep(RECONNECTING.pause_seconds(failures))

    async def _exchange(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        receive: Callable[[FrameKind, bytes], None],
    ) -> None:
        flushing = asyncio.create_task(self.flush_to(writer))
        flushing.add_done_callback(lambda task: _abort_on_error(task, writer))
        try:
            async for kind, body in frames(reader):
                receive(kind, body)
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)


async def receive_links(
    reader: asyncio.StreamReader, receive: Callable[[FrameKind, bytes], None]
) -> None:
    """Read the links of an unidentified peer: they carry their proof, other frames do not."""
    async with asyncio.timeout(CONNECT_SECONDS_MAX):
        async for kind, body in frames(reader):
            if kind is FrameKind.LINKS:
                receive(kind, body)
            return


async def send_links(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, links: Sequence[EpochLink]
) -> None:
    """Send links to an unknown peer with our CA's certificate: a former or a future validator."""
    async with asyncio.timeout(CONNECT_SECONDS_MAX):
        async for kind, body in frames(reader):
            if kind is not FrameKind.HELLO:
                raise BadFrame("from an unknown peer")
            writer.write(links_since(body, links))
            await writer.drain()
            await reader.read(1)  # the peer closes the connection once it has read
            return


def set_tcp_timeouts(writer: asyncio.StreamWriter) -> None:
    """Drop a silent connection soon. By default TCP waits for minutes, even on a healed network."""
    sock = writer.get_extra_info("socket")
    if sock is None:
        raise ConnectionResetError  # closed already
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * SILENT_SECONDS_MAX)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_SECONDS_MAX)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENT_SECONDS_MAX)


async def abort(writer: asyncio.StreamWriter) -> None:
    """Close at once: a clean TLS shutdown with a dead peer takes half a minute."""
    writer.transport.abort()
    await asyncio.sleep(0)


def _abort_on_error(task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
    """End reading when writing fails."""
    if not task.cancelled() and task.exception() is not None:
        writer.transport.abort()
