"""The edge of a process: what is sent to its port and never reaches an app (real Granian)."""

import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.security import edge_process
from tests.security.edge_process import SECRET, Served
from tests.support.eventually import wait_for
from tests.support.raw_http import Heard, connect, exchange, hear, request

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_FRAME = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
BODY_SECONDS = 3
PER_ADDRESS = 40
PAGE_THREADS = 16
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The storefront; it is also served as shop.example."""
    log = tmp_path_factory.mktemp("edge") / "web.log"
    settings = {
        "BODY_SECONDS_MAX": str(BODY_SECONDS),
        "REQUESTS_PER_ADDRESS_MAX": str(PER_ADDRESS),
        "SHOP_URL": "https://shop.example",
        "HOSTS": "box-office.internal, 2001:db8::7",
        "WEB_TRUSTED_PROXIES": "1",
    }
    with edge_process.storefront(log, settings) as process:
        yield process


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with edge_process.bank(tmp_path_factory.mktemp("edge") / "bank.log") as process:
        yield process


def is_page(heard: Heard) -> bool:
    return heard.headers["content-type"].startswith("text/html") and b"<a href" in heard.body


# HTTP/2


def test_http_2_without_tls_is_not_spoken(shop: Served, bank: Served) -> None:
    for server in (shop, bank):
        heard = exchange(server.port, PREFACE + SETTINGS_FRAME)
        assert heard.ended
        assert SETTINGS_FRAME[3:4] not in heard.body[3:4], "no SETTINGS frame came back"
        upgrade = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c")]
        upgrade.append(("HTTP2-Settings", "AAMAAABkAAQAAP__"))
        assert exchange(server.port, request("/none", headers=upgrade)).status == 404


# Heads


@pytest.mark.parametrize(("size", "status"), [(30_000, 200), (33_000, 431), (70_000, 431)])
def test_more_than_32_kb_of_headers_are_refused(shop: Served, size: int, status: int) -> None:
    filler = [("X-Filler", "a" * size)]
    assert exchange(shop.port, request("/sign-in", headers=filler)).status == status


def test_many_headers_count_together(shop: Served) -> None:
    filler = [(f"X-Filler-{n}", "a" * 500) for n in range(80)]
    heard = exchange(shop.port, request("/sign-in", headers=filler))
    assert heard.status == 431
    assert is_page(heard)
    heard = exchange(shop.port, request("/api/movies/shows", headers=filler))
    assert heard.json()["type"] == "/problems/headers-too-large"


def test_an_address_has_an_end(shop: Served) -> None:
    assert exchange(shop.port, request("/sign-in?next=/" + "a" * 9_000)).status == 414


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["localhost"], 200),
        (["127.0.0.1:8000"], 200),
        (["[::1]:80"], 200),
        (["Shop.Example"], 200),
        (["shop.example.:443"], 200),
        (["box-office.internal"], 200),
        (["[2001:DB8:0::7]"], 200),
        ([], 400),
        ([""], 400),
        (["localhost", "localhost"], 400),
        (["localhost", "evil.example"], 400),
        (["localhost evil"], 400),
        (["localhost:80:80"], 400),
        (["localhost@evil.example"], 400),
        (["evil.example"], 421),
        (["localhost.evil.example"], 421),
        (["203.0.113.9"], 421),
    ],
)
def test_there_is_one_host_and_it_is_ours(shop: Served, hosts: list[str], status: int) -> None:
    given = [("Host", host) for host in hosts]
    heard = exchange(shop.port, request("/sign-in", host=None, headers=given))
    assert heard.status == status


def test_no_host_that_a_client_or_a_proxy_states_gets_into_a_redirect(shop: Served) -> None:
    said = [("X-Forwarded-Host", "evil.example"), ("X_Forwarded_Host", "evil.example")]
    said += [("Forwarded", "host=evil.example"), ("X-Host", "evil.example")]
    for path in ("/account", "/account/"):
        heard = exchange(shop.port, request(path, headers=said))
        assert b"evil.example" not in heard.body
        assert "evil" not in heard.headers.get("location", "")
    absolute = exchange(shop.port, request("http://evil.example/account"))
    assert absolute.status == 303
    assert absolute.headers["location"].startswith("/sign-in")


def test_headers_with_underscores_are_not_their_hyphenated_twins(shop: Served) -> None:
    """Behind a proxy that writes X-Forwarded-Proto, X_Forwarded_Proto is a visitor's own."""
    forged = [("X_Forwarded_Proto", "https")]
    assert (
        "strict-transport-security"
        not in exchange(shop.port, request("/sign-in", headers=forged)).headers
    )
    told = [("X-Forwarded-Proto", "https")]
    assert (
        "strict-transport-security"
        in exchange(shop.port, request("/sign-in", headers=told)).headers
    )


# Bodies


def slow_post(port: int, path: str, content_type: str) -> bytes:
    headers = [("Content-Type", content_type), ("Content-Length", "1000")]
    return request(path, method="POST", headers=headers) + b"a"


def test_slow_forms_keep_no_page_thread_and_end(shop: Served) -> None:
    with ExitStack() as lines:
        slow = [lines.enter_context(connect(shop.port)) for _ in range(PAGE_THREADS + 4)]
        for line in slow:
            line.sendall(slow_post(shop.port, "/sign-in", FORM))
        assert exchange(shop.port, request("/sign-in")).status == 200, "others are served meanwhile"
        answers = [hear(line) for line in slow]
    assert {answer.status for answer in answers} == {408}
    assert all(is_page(answer) for answer in answers)


def test_a_slow_body_to_an_api_ends_as_a_problem(shop: Served) -> None:
    with connect(shop.port) as line:
        line.sendall(slow_post(shop.port, "/api/x", "application/json"))
        began = time.monotonic()
        heard = hear(line)
        assert time.monotonic() - began >= BODY_SECONDS - 1
    assert heard.status == 408
    assert heard.headers["content-type"] == "application/problem+json"
    assert heard.ended or heard.headers["connection"] == "close"


def test_a_byte_now_and_then_does_not_extend_the_deadline(shop: Served) -> None:
    head = slow_post(shop.port, "/sign-in", FORM)
    heard = exchange(shop.port, head, *[b"a"] * (BODY_SECONDS * 4), pause_seconds=0.5)
    assert heard.status == 408


@pytest.mark.parametrize("path", ["/sign-in", "/api/x"])
def test_a_body_that_is_too_large_is_refused_unread(shop: Served, path: str) -> None:
    headers = [("Content-Type", FORM), ("Content-Length", "70000")]
    heard = exchange(shop.port, request(path, method="POST", headers=headers))
    assert heard.status == 413


def test_a_body_in_chunks_has_the_same_limit(shop: Served) -> None:
    headers = [("Content-Type", FORM), ("Transfer-Encoding", "chunked")]
    chunk = b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
    heard = exchange(shop.port, request("/sign-in", method="POST", headers=headers), *[chunk] * 5)
    assert heard.status == 413


def test_a_form_in_chunks_is_read(shop: Served) -> None:
    """400: its token is missing. The WSGI bridge alone would see no form at all."""
    headers = [("Content-Type", FORM), ("Transfer-Encoding", "chunked")]
    body = b"3\r\na=b\r\n0\r\n\r\n"
    heard = exchange(shop.port, request("/sign-in", method="POST", headers=headers), body)
    assert heard.status == 400
    assert is_page(heard)


@pytest.mark.parametrize("path", ["/sign-in", "/api/x"])
@pytest.mark.parametrize(
    "chunk", [b"zz\r\nhello\r\n", b"-1\r\n", b"ffffffffffffffff1\r\n", b"\x00"]
)
def test_broken_chunks_are_the_clients_fault(shop: Served, path: str, chunk: bytes) -> None:
    headers = [("Content-Type", FORM), ("Transfer-Encoding", "chunked")]
    heard = exchange(shop.port, request(path, method="POST", headers=headers) + chunk)
    assert heard.status in {400, 408}
    assert shop.tracebacks() == []


def test_an_aborted_request_leaves_no_traceback(shop: Served, bank: Served) -> None:
    for server, path in ((shop, "/sign-in"), (shop, "/api/x"), (bank, "/charges")):
        for _ in range(5):
            with connect(server.port) as line:
                line.sendall(slow_post(server.port, path, "application/json"))
        with connect(server.port) as line:
            line.sendall(request(path))  # and who leaves before the answer
        assert exchange(server.port, request("/none")).status == 404
        assert server.tracebacks() == []


# How many


def test_one_address_has_a_share_and_gets_it_back(shop: Served) -> None:
    with ExitStack() as lines:
        slow = [lines.enter_context(connect(shop.port)) for _ in range(PER_ADDRESS)]
        for line in slow:
            line.sendall(slow_post(shop.port, "/api/x", "application/json"))

        def refused() -> Heard | None:
            heard = exchange(shop.port, request("/api/x"))
            return heard if heard.status == 429 else None

        heard = wait_for(refused, "it has its share")
        assert heard.headers["retry-after"] == "5"
        assert heard.json()["type"] == "/problems/too-many-from-here"
    wait_for(lambda: exchange(shop.port, request("/sign-in")).status == 200, "it is back")


def test_the_usual_limit_of_open_files_does_not_close_the_shop(tmp_path: Path) -> None:
    """1,024 is the soft one; a hundred clients more than that are connected, and say nothing."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with (
        edge_process.storefront(tmp_path / "log", {}, files=(1_024, hard)) as usual,
        ExitStack() as lines,
    ):
        idle = [lines.enter_context(connect(usual.port)) for _ in range(1_124)]
        assert exchange(usual.port, request("/sign-in")).status == 200
        limits = Path(f"/proc/{usual.pid}/limits").read_text().splitlines()
        soft = next(line for line in limits if line.startswith("Max open files")).split()[3]
        assert soft == str(hard)
        assert not any(_is_ended(line) for line in idle[:50]), "there is room for all"


def test_one_address_does_not_keep_all_connections_by_saying_nothing(tmp_path: Path) -> None:
    settings = {"CONNECTIONS_MAX": "300", "REQUESTS_PER_ADDRESS_MAX": "40"}
    settings["BODY_SECONDS_MAX"] = "600"
    with edge_process.storefront(tmp_path / "log", settings) as few, ExitStack() as lines:
        busy = lines.enter_context(connect(few.port))
        busy.sendall(slow_post(few.port, "/api/x", "application/json"))
        idle = [lines.enter_context(connect(few.port)) for _ in range(200)]

        wait_for(lambda: "connections.shut" in few.log.read_text(), "some are shut")
        wait_for(lambda: sum(map(_is_ended, idle)) >= 160, "they notice")
        assert not _is_ended(busy), "who asks for something is heard"
        assert exchange(few.port, request("/sign-in")).status == 200


def _is_ended(line: socket.socket) -> bool:
    line.setblocking(False)  # noqa: FBT003 the library's signature
    try:
        return line.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_with_few_open_files_there_are_fewer_connections_and_none_hangs(
    tmp_path: Path,
) -> None:
    with (
        edge_process.storefront(tmp_path / "log", {}, files=(600, 600)) as few,
        ExitStack() as lines,
    ):
        slow = [lines.enter_context(connect(few.port)) for _ in range(180)]
        for line in slow:
            line.sendall(slow_post(few.port, "/api/x", "application/json"))

        def refused() -> bool:
            return exchange(few.port, request("/api/x")).status in {429, 503}

        wait_for(refused, "it is told")


def test_more_connections_than_open_files_are_refused_at_start(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="CONNECTIONS_MAX=2000 needs 2256 open files"),
        edge_process.storefront(
            tmp_path / "log", {"CONNECTIONS_MAX": "2000"}, files=(1_024, 1_024)
        ),
    ):
        pytest.fail("it starts")


# What an answer says of itself


def test_every_response_has_its_security_headers(shop: Served, bank: Served) -> None:
    asked = [(shop, "/api/none"), (shop, "/health/live"), (shop, "/%00"), (shop, "/sign-in")]
    asked += [(bank, "/health/live"), (bank, "/charges"), (bank, "/none")]
    for server, path in asked:
        headers = exchange(server.port, request(path)).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY", path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert "no-store" in headers["cache-control"], path


def test_a_bank_takes_no_key_that_is_no_ascii_for_a_fault_of_its_own(bank: Served) -> None:
    for key in ("Bearer gehe\xefm", "Bearer \xff\xfe", f"Bearer {SECRET}\xe9"):
        asked = request("/charges?reference=x", headers=[("Authorization", key)])
        assert exchange(bank.port, asked).status in {401, 403}
    right = [("Authorization", f"Bearer {SECRET}")]
    assert exchange(bank.port, request("/charges?reference=x", headers=right)).status == 200


# Anything at all


ODD_TARGETS: list[str | bytes] = [
    "/%00",
    "/static/%00",
    "/static/css%00.css",
    "/movies/%ff%fe",
    "/%c0%af",
    "/%zz%",
    "/movies/%2e%2e/%2e%2e/etc/passwd",
    "/static/" + "a" * 4_000,
    "/" + "a/" * 2_000,
    "/?" + "a=1&" * 2_000,
    "/?q=%00%ff%zz",
    "/?date=0000-99-99&page=-1&page=1e9&q=%f0%28%8c%28",
    b"/?q=\xc3\xa9",
    b"/\xc3\xa9",
    "/sign-in?next=%0d%0aSet-Cookie:x",
    "/%0d%0aSet-Cookie:%20x=y",
    "//evil.example/..",
    "/\\evil.example",
    "http://evil.example/",
    "http://[::1/",
    "*",
    "/sign-in#fragment",
    "/api/../health/live",
    "/health/live/%00",
]
ODD_HEADERS = [
    [("Cookie", "cinesync=\xff\xfe; =; ;;; a")],
    [("Cookie", "cinesync=.eJx" + "A" * 4_000)],
    [("Cookie", "cinesync=eyJhIjoxfQ.Zg.AAAA; cinesync=x")],
    [("Accept-Language", "q=;;,,*;q=x,en;q=-1," + "a" * 3_000)],
    [("Accept-Language", "\xff\xfe-\xe9")],
    [("Accept-Encoding", "gzip;q=x, \xff, br;q=2")],
    [("If-None-Match", '"\xff", W/, "'), ("If-Modified-Since", "the day before")],
    [("Range", "bytes=5-1,-0,x")],
    [("X-Forwarded-For", "\xff, ,,::1%lo, 999.1.1.1"), ("X-Forwarded-Proto", "https,\xff")],
    [("X-Forwarded-Host", "evil.example\xff"), ("X-Forwarded-Port", "x")],
    [("Authorization", "Bearer \xff"), ("Traceparent", "00-\xff-z-")],
    [("Origin", "http://[::1"), ("Referer", "http://[/\xff")],
    [("Content-Type", "\xff/\xfe; charset=\xff"), ("Accept", "\xff")],
]
ODD_BODIES = [
    ("multipart/form-data", b"x"),
    ("multipart/form-data; boundary=", b"--\r\n"),
    ("multipart/form-data; boundary=a", b"--a\r\n\r\n\r\n--a--" * 50),
    ("multipart/form-data; boundary=a", b'--a\r\nContent-Disposition: form-data; name="\xff'),
    ("multipart/form-data; boundary=" + "b" * 300, b"--b" * 1_000),
    (FORM, b"&".join(b"a%d=%%ff%%00" % n for n in range(3_000))),
    (FORM + "; charset=utf-99", b"a=\xff\x00&=&&==;"),
    ("application/json", b"[" * 60_000),
    ("application/json", b'{"a": "\\ud800", "b": 1e9999}'),
    ("\xff", b"\x00"),
]


def test_nothing_that_is_sent_is_our_fault(shop: Served, bank: Served) -> None:
    asked = [request(target) for target in ODD_TARGETS]
    asked += [request("/sign-in", headers=headers) for headers in ODD_HEADERS]
    asked += [
        request(path, method="POST", headers=[("Content-Type", kind)], body=body)
        for path in ("/sign-in", "/account/register", "/charges", "/confirm/x", "/api/none")
        for kind, body in ODD_BODIES
    ]
    asked += [
        request(path, method=method, headers=[("Connection", "close")])
        for method in ("CONNECT", "TRACE", "PROPFIND", "get", "B!", "HEAD", "OPTIONS", "DELETE")
        for path in ("/", "/sign-in", "/static/storefront/live.js", "/charges", "*")
    ]
    for server in (shop, bank):
        answers = [(sent[:80], exchange(server.port, sent).status) for sent in asked]
        # The storefront's APIs are away: its pages say so themselves.
        assert [one for one in answers if one[1] in {0, 500, 502}] == []
        assert server.tracebacks() == []


def test_an_ordinary_client_notices_nothing(shop: Served) -> None:
    with httpx.Client(base_url=f"http://localhost:{shop.port}") as http:
        assert http.get("/sign-in").status_code == 200
        assert http.head("/sign-in").status_code == 200
        assert http.get("/static/storefront/live.js").headers["cache-control"].find("max-age") >= 0
        sent = http.post("/sign-in", data={"email": "a@example.org", "password": "x" * 20})
        assert sent.status_code == 400, "its token is missing"
