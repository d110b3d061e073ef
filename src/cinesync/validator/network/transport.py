"""Frames between validators and clients: mutual TLS, bounded sizes, bounded queues.

Who somebody is follows from the key in its certificate: it must be one of the chain's own. What
is lost on the way is sent again by the consensus, so a queue that is full drops its oldest.
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
    HELLO = b"h"  # with the newest epoch that the peer knows
    LINKS = b"l"  # how the validators changed since


_KINDS: Final = {ord(kind.value): kind for kind in FrameKind}


class BadFrame(Exception):
    """The peer sent what is no frame; the connection ends."""


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A read. What `first`, `second` and `name` mean depends on what is asked."""

    id: int
    ask: str
    first: int = 0
    second: int = 0
    name: str = ""


class QueryResponse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """To the query of that id; None: there is no such thing here."""

    id: int
    value: Any = None


class ValidatorStatus(msgspec.Struct, frozen=True):
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
    context.load_verify_locations(home / provisioning.AUTHORITY_FILE)
    present(context, home / provisioning.KEY_FILE)
    return context


def present(context: ssl.SSLContext, key_file: Path) -> None:
    """Be the owner of this key in every connection from now on."""
    context.load_cert_chain(provisioning.certificate_file(key_file), key_file)


def peer_key(writer: asyncio.StreamWriter) -> bytes:
    """The public key in the peer's certificate, as the genesis spells keys."""
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def hello(epoch: int) -> bytes:
    return pack(FrameKind.HELLO, b"%d" % epoch)


def links_since(body: bytes, links: Sequence[EpochLink]) -> bytes:
    """The answer to a hello. Raises BadFrame."""
    if not (body.isdigit() and len(body) <= EPOCH_DIGITS_MAX):
        raise BadFrame("no number of an epoch")
    epoch = int(body)
    return pack(FrameKind.LINKS, encode(EpochLinks(tuple(links[epoch : epoch + LINKS_PER_ANSWER]))))


def pack(kind: FrameKind, body: bytes) -> bytes:
    return b"".join((_LENGTH.pack(len(body) + 1), kind.value, body))


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[FrameKind, bytes]]:
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


def _frame(buffer: bytearray, at: int) -> tuple[FrameKind, bytes] | None:
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
        """Until cancelled; `receive` gets what comes back."""
        failures = 0
        while True:
            with suppress(OSError, TimeoutError, ssl.SSLError, BadFrame):
                async with asyncio.timeout(CONNECT_SECONDS_MAX):
                    reader, writer = await asyncio.open_connection(
                        self.host, self.port, ssl=self._context, server_hostname=""
                    )
                try:
                    make_impatient(writer)
                    writer.write(self._hello())
                    if peer_key(writer) == self.key:
                        failures = 0
                        self.connected = True
                        await self._talk(reader, writer, receive)
                    else:  # it has another key now, or I do not know the newest set
                        await first_links(reader, receive)
                finally:
                    self.connected = False
                    await drop(writer)
            failures += 1
            await asyncio.sleep(RECONNECTING.pause_seconds(failures))

    async def _talk(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        receive: Callable[[FrameKind, bytes], None],
    ) -> None:
        flushing = asyncio.create_task(self.flush_to(writer))
        flushing.add_done_callback(lambda task: _hang_up(task, writer))
        try:
            async for kind, body in frames(reader):
                receive(kind, body)
        finally:
            flushing.cancel()
            await asyncio.gather(flushing, return_exceptions=True)


async def first_links(
    reader: asyncio.StreamReader, receive: Callable[[FrameKind, bytes], None]
) -> None:
    """From one who may be anybody: how the validators changed proves itself, all else does not."""
    async with asyncio.timeout(CONNECT_SECONDS_MAX):
        async for kind, body in frames(reader):
            if kind is FrameKind.LINKS:
                receive(kind, body)
            return


async def tell_links(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, links: Sequence[EpochLink]
) -> None:
    """To a stranger of our authority, who may have been a validator, or be one soon."""
    async with asyncio.timeout(CONNECT_SECONDS_MAX):
        async for kind, body in frames(reader):
            if kind is not FrameKind.HELLO:
                raise BadFrame("from nobody of this chain")
            writer.write(links_since(body, links))
            await writer.drain()
            await reader.read(1)  # it hangs up first, having read
            return


def make_impatient(writer: asyncio.StreamWriter) -> None:
    """Give a silent line up, on which TCP would wait for minutes after it is whole again."""
    line = writer.get_extra_info("socket")
    if line is None:
        raise ConnectionResetError  # it has ended already
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * SILENT_SECONDS_MAX)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, SILENT_SECONDS_MAX)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, SILENT_SECONDS_MAX)


async def drop(writer: asyncio.StreamWriter) -> None:
    """At once: a peer that is gone would let a polite farewell take half a minute."""
    writer.transport.abort()
    await asyncio.sleep(0)


def _hang_up(task: asyncio.Task[None], writer: asyncio.StreamWriter) -> None:
    """A connection that cannot be written to is not worth reading from."""
    if not task.cancelled() and task.exception() is not None:
        writer.transport.abort()
