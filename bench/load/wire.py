"""HTTP/1.1 as a client on one keep-alive connection, with as little work as the protocol allows."""

import asyncio
from typing import Final, cast

END: Final = b"\r\n\r\n"
CLOSED: Final = 0  # the status of a request whose connection ended


class Wire(asyncio.Protocol):
    """One request at a time; `answered` is called once for each."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._is_waiting = False

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        """The whole request, head and body."""
        assert self._transport is not None, "connected"
        self._is_waiting = True
        self._transport.write(request)

    def answered(self, status: int, body: bytes) -> None:
        """For a subclass. `status` is CLOSED when the connection ended instead."""
        raise NotImplementedError

    def close(self) -> None:
        """Hang up; nothing is reported."""
        self._is_waiting = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of asyncio."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has a class of its own

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 asyncio's name
        """Of asyncio."""
        self._transport = None
        self._received = b""
        if self._is_waiting:
            self._is_waiting = False
            self.answered(CLOSED, b"")

    def data_received(self, data: bytes) -> None:
        """Of asyncio."""
        if self._received:
            data = self._received + data
        body = body_of(data)
        if body is None:
            self._received = data
            return
        self._received = b""
        self._is_waiting = False
        self.answered(int(data[9:12]), body)


def body_of(data: bytes) -> bytes | None:
    """The body of a whole answer; None while some of it is missing."""
    end = data.find(END)
    if end < 0:
        return None
    at = data.find(b"ontent-length: ", 0, end)
    if at < 0:
        at = data.find(b"ontent-Length: ", 0, end)
    if at < 0:
        if b"chunked" in data[:end].lower():
            return _chunked(data, end + 4)
        return b""
    length = int(data[at + 15 : data.find(b"\r", at)])
    return data[end + 4 :] if len(data) - end - 4 >= length else None


def _chunked(data: bytes, at: int) -> bytes | None:
    """RFC 9112, section 7.1."""
    parts: list[bytes] = []
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(data[at:line_end].split(b";")[0], 16)
        start = line_end + 2
        if len(data) < start + size + 2:
            return None
        if size == 0:
            return b"".join(parts)
        parts.append(data[start : start + size])
        at = start + size + 2


def request(method: str, path: str, host: str, body: bytes | None = None, **headers: str) -> bytes:
    """A whole request. Underscores in header names stand for hyphens."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + END + (body or b"")
