"""The edge behind the gateway: Caddy as `cinesync up --split` runs it, over a real process."""

import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from cinesync.supervisor.caddyfile import GatewayConfig, caddyfile
from cinesync.supervisor.ports import free_ports
from cinesync.supervisor.split import caddy_path
from tests.security import edge_process
from tests.security.edge_process import Served
from tests.support.eventually import wait_for
from tests.support.raw_http import Heard, connect, exchange, hear, request

BODY_SECONDS = 3
PAGE_THREADS = 16
FORM = [("Content-Type", "application/x-www-form-urlencoded"), ("Content-Length", "1000")]
JSON = [("Content-Type", "application/json"), ("Content-Length", "1000")]
HEADERS_FRAME, CONTINUATION_FRAME, GOAWAY_FRAME, RESET_FRAME = 1, 9, 7, 3


@dataclass(frozen=True, slots=True)
class RunningShop:
    """A gateway, and the storefront behind it."""

    port: int
    tls_port: int
    web: Served


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    folder = tmp_path_factory.mktemp("gateway")
    settings = {
        "BODY_SECONDS_MAX": str(BODY_SECONDS),
        "REQUESTS_PER_ADDRESS_MAX": "100",
        "TRUSTED_PROXIES": "127.0.0.1",
        "WEB_TRUSTED_PROXIES": "1",
        "HOSTS": "shop.example",
    }
    plain, secure, *inner = free_ports(4)
    with ExitStack() as stack:
        web = stack.enter_context(edge_process.storefront(folder / "web.log", settings))
        for port, inside, tls in ((plain, inner[0], "off"), (secure, inner[1], "internal")):
            gateway = GatewayConfig(
                names=["localhost", "127.0.0.1", "shop.example"],
                port=port,
                inside=f"127.0.0.1:{inside}",
                replicas={name: [f"127.0.0.1:{web.port}"] for name in ("booking", "web")},
                tls="off" if tls == "off" else "internal",
                storage=str(folder / tls),
            )
            stack.enter_context(_caddy(folder / f"Caddyfile.{tls}", gateway))
        wait_for(lambda: ask(plain).status == 200, "the gateway asks the storefront")
        yield RunningShop(plain, secure, web)


def ask(port: int) -> Heard:
    try:
        return exchange(port, request("/sign-in"))
    except OSError:
        return Heard(0, {}, b"", ended=True)


class _caddy:  # noqa: N801 a context manager
    """One gateway."""

    def __init__(self, file: Path, gateway: GatewayConfig) -> None:
        file.write_text(caddyfile(gateway))
        self._command = [str(caddy_path()), "run", "--adapter=caddyfile", f"--config={file}"]

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


def test_heads_have_the_same_limit(shop: RunningShop) -> None:
    for size, status in ((30_000, 200), (34_000, 431), (70_000, 431)):
        heard = exchange(shop.port, request("/sign-in", headers=[("X-Filler", "a" * size)]))
        assert heard.status == status, size


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["localhost"], 200),
        (["SHOP.example:8443"], 200),
        ([], 400),
        (["localhost", "evil.example"], 400),
        (["evil.example"], 421),
    ],
)
def test_there_is_one_host_and_it_is_ours(shop: RunningShop, hosts: list[str], status: int) -> None:
    given = [("Host", host) for host in hosts]
    assert exchange(shop.port, request("/sign-in", host=None, headers=given)).status == status


def test_forwarded_headers_of_a_visitor_are_ignored(shop: RunningShop) -> None:
    """Caddy replaces X-Forwarded-Proto; X_Forwarded_Proto it passes on, and we drop."""
    for name in ("X-Forwarded-Proto", "X_Forwarded_Proto", "X_Forwarded-Proto"):
        headers = exchange(shop.port, request("/sign-in", headers=[(name, "https")])).headers
        assert "strict-transport-security" not in headers, name


def test_slow_forms_keep_no_page_thread_and_end(shop: RunningShop) -> None:
    with ExitStack() as lines:
        slow = [lines.enter_context(connect(shop.port)) for _ in range(PAGE_THREADS + 4)]
        for line in slow:
            line.sendall(request("/sign-in", method="POST", headers=FORM) + b"a")
        assert exchange(shop.port, request("/sign-in")).status == 200, "others are served meanwhile"
        assert {hear(line).status for line in slow} == {408}


def test_a_slow_body_to_an_api_ends_as_a_problem(shop: RunningShop) -> None:
    with connect(shop.port) as line:
        line.sendall(request("/api/booking/holds", method="POST", headers=JSON) + b"{")
        heard = hear(line)
    assert heard.status == 408
    assert heard.headers["content-type"] == "application/problem+json"


def test_a_slow_head_is_not_waited_for(shop: RunningShop) -> None:
    with connect(shop.port) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        assert hear(line).ended


def test_broken_chunks_and_leaving_leave_no_traceback(shop: RunningShop) -> None:
    chunked = [("Content-Type", FORM[0][1]), ("Transfer-Encoding", "chunked")]
    for path in ("/sign-in", "/api/booking/holds"):
        broken = request(path, method="POST", headers=chunked) + b"zz\r\n"
        assert exchange(shop.port, broken).status in {400, 502}
        for _ in range(3):
            with connect(shop.port) as line:
                line.sendall(request(path, method="POST", headers=FORM) + b"a")
    assert exchange(shop.port, request("/sign-in")).status == 200
    assert shop.web.tracebacks() == []


def test_a_client_counts_by_its_own_address_and_not_as_the_gateway(shop: RunningShop) -> None:
    with ExitStack() as lines:
        slow = [lines.enter_context(_from("127.0.0.2", shop.port)) for _ in range(100)]
        for line in slow:
            line.sendall(request("/api/booking/x", method="POST", headers=JSON) + b"{")

        def refused() -> Heard | None:
            with _from("127.0.0.2", shop.port) as line:
                line.sendall(request("/api/booking/x"))
                heard = hear(line)
            return heard if heard.status == 429 else None

        assert wait_for(refused, "it has its share").headers["retry-after"]
        with _from("127.0.0.3", shop.port) as line:
            line.sendall(request("/sign-in"))
            assert hear(line).status == 200, "another client has its own"


def _from(address: str, port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), 60, source_address=(address, 0))


# HTTP/2: a header of 4,000 bytes, stated once and referred to 3,500 times (HPACK, RFC 7541)


@pytest.mark.parametrize(("times", "is_answered"), [(2, True), (3_500, False)])
def test_a_small_header_block_does_not_become_a_large_one(
    shop: RunningShop,
    times: int,
    is_answered: bool,  # noqa: FBT001 a table of cases
) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with context.wrap_socket(connect(shop.tls_port), server_hostname="localhost") as line:
        assert line.selected_alpn_protocol() == "h2"
        with suppress(ConnectionError):
            line.sendall(_repeating(times))
        assert (_status_of_stream_one(line) == b"200") is is_answered
    assert exchange(shop.port, request("/sign-in")).status == 200


def _repeating(times: int) -> bytes:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b"")
    # :method GET, :scheme https, :path /sign-in, :authority localhost; then x, which becomes 64.
    block = b"\x82\x87\x44\x08/sign-in\x41\x09localhost"
    block += b"\x40\x01x\x7f" + _rest(4_000 - 127) + b"a" * 4_000 + b"\xbe" * times
    parts = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
    kinds = [(HEADERS_FRAME, 0x1), *[(CONTINUATION_FRAME, 0x0)] * (len(parts) - 1)]
    frames = [_frame(*kind, 1, part) for kind, part in zip(kinds, parts, strict=True)]
    return preface + b"".join(frames) + _frame(CONTINUATION_FRAME, 0x4, 1, b"")


def _rest(number: int) -> bytes:
    """An integer beyond its prefix (RFC 7541 section 5.1)."""
    found = b""
    while number >= 128:
        found += bytes([number % 128 + 128])
        number //= 128
    return found + bytes([number])


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _status_of_stream_one(line: socket.socket) -> bytes:
    """The indexed or literal :status of the answer; b"" when the stream or connection was ended."""
    heard = b""
    while True:
        while len(heard) >= 9:
            length = int.from_bytes(heard[:3])
            if len(heard) < 9 + length:
                break
            kind, payload = heard[3], heard[9 : 9 + length]
            if kind in {GOAWAY_FRAME, RESET_FRAME}:
                return b""
            if kind == HEADERS_FRAME:  # 0x88 is `:status 200` in the static table
                return b"200" if payload[:1] == b"\x88" else b"another"
            heard = heard[9 + length :]
        try:
            more = line.recv(65_536)
        except ConnectionError:
            return b""
        if not more:
            return b""
        heard += more
