"""Bytes on a socket: what no HTTP client sends, and what came back."""

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer, or what there was of one. Status 0: none at all."""

    status: int
    headers: dict[str, str]
    body: bytes
    ended: bool  # the other side closed the connection

    def json(self) -> Any:
        return msgspec.json.decode(self.body)


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port), timeout=PATIENCE_SECONDS)


def exchange(port: int, *parts: bytes, pause_seconds: float = 0.0) -> Heard:
    """Send `parts`, one by one, and read to the end of the answer."""
    with connect(port) as line:
        for part in parts:
            with suppress(ConnectionError):  # it may have answered already
                line.sendall(part)
            time.sleep(pause_seconds)
        return hear(line)


def hear(line: socket.socket) -> Heard:
    """One answer, by its length or up to the end of the connection."""
    heard, ended = b"", False
    while not _is_whole(heard):
        try:
            more = line.recv(65_536)
        except ConnectionError:
            more = b""
        if not more:
            ended = True
            break
        heard += more
    return _parsed(heard, ended=ended)


def _is_whole(heard: bytes) -> bool:
    head, blank, body = heard.partition(b"\r\n\r\n")
    if not blank:
        return False
    length = _headers(head).get("content-length")
    return length is not None and len(body) >= int(length)


def _parsed(heard: bytes, *, ended: bool) -> Heard:
    head, _, body = heard.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = int(words[1]) if len(words) > 1 and words[0].startswith(b"HTTP/") else 0
    return Heard(status, _headers(head), body, ended)


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def request(
    target: str | bytes = "/",
    *,
    method: str = "GET",
    headers: Sequence[tuple[str, str]] = (),
    host: str | None = "localhost",
    body: bytes = b"",
) -> bytes:
    """A request, however odd. `body` adds its length."""
    raw_target = target.encode() if isinstance(target, str) else target
    lines = [method.encode() + b" " + raw_target + b" HTTP/1.1"]
    given = [("Host", host)] if host is not None else []
    given += headers
    given += [("Content-Length", str(len(body)))] if body else []
    lines += [f"{name}: {value}".encode("latin-1") for name, value in given]
    return b"\r\n".join([*lines, b"", b""]) + body
