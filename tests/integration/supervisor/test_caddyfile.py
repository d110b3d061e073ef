"""The gateway: what it lets in, whom it asks, and what it asks again: Caddy over stand-ins."""

import http.client
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from cinesync.cli.serve import PORTS
from cinesync.supervisor.caddyfile import GatewayConfig, Tls, caddyfile
from cinesync.supervisor.ports import free_port, free_ports
from cinesync.supervisor.split import SERVICES, caddy_path
from tests.support.eventually import wait_for
from tests.support.listening import listening
from tests.support.places import ROOT

EXAMPLE = GatewayConfig(
    names=["localhost", "127.0.0.1"],
    port=8000,
    inside="127.0.0.1:8001",
    replicas={service: [f"127.0.0.1:{PORTS[service]}"] for service in SERVICES},
)


class Replica(BaseHTTPRequestHandler):
    """Answers with its name; breaks connections, streams, or is unwell, as its server says."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        if self.path == "/health/ready":
            self._answer(200 if self.server.is_ready else 503)
            return
        self.server.asked.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.endswith("/break"):
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif self.path.endswith("/events"):
            self._stream()
        else:
            self._answer(200)

    do_POST = do_GET  # noqa: N815 the library's name

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        self.server.go_on.wait(60)
        self.wfile.write(b"data: second\n\n")
        self.close_connection = True

    def _answer(self, status: int) -> None:
        seen = "\n".join([self.server.name, *(f"{k}: {v}" for k, v in self.headers.items())])
        self.send_response(status)
        self.send_header("Content-Length", str(len(seen)))
        self.send_header("Connection", "close")  # who has ended is gone at once
        self.end_headers()
        self.wfile.write(seen.encode())


class Server(ThreadingHTTPServer):
    """One replica of a service."""

    daemon_threads = True

    def __init__(self, name: str, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Replica)
        self.name = name
        self.asked: list[str] = []
        self.is_ready = True
        self.go_on = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def end(self) -> None:
        """Refuse connections from now on."""
        self.shutdown()
        self.server_close()


class House:
    """Caddy, two replicas of booking, a free place for a third, and the pages."""

    def __init__(self, folder: Path, tls: Tls = "off") -> None:
        self.one, self.two, self.web = Server("one"), Server("two"), Server("web")
        self.spare_port = free_port()
        self.port, self.inner_port = free_ports(2)
        self.gateway = GatewayConfig(
            names=["127.0.0.1"],
            port=self.port,
            inside=f"127.0.0.1:{self.inner_port}",
            replicas={
                "booking": [self.one.address, self.two.address, f"127.0.0.1:{self.spare_port}"],
                "web": [self.web.address],
            },
            tls=tls,
            storage=str(folder),
        )
        file = folder / "Caddyfile"
        file.write_text(caddyfile(self.gateway))
        self.caddy = subprocess.Popen(
            [caddy_path(), "run", "--adapter=caddyfile", f"--config={file}"],
            stderr=subprocess.DEVNULL,
        )
        url = f"{self.gateway.scheme}://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=url, timeout=60, verify=tls == "off")
        wait_for(self._is_up, "the gateway answers")

    def _is_up(self) -> bool:
        try:
            return self.http.get("/").is_success
        except httpx.TransportError:
            return False

    def names(self, count: int = 12) -> set[str]:
        """Who answers."""
        answers = [self.http.get("/api/booking/x") for _ in range(count)]
        assert all(answer.status_code == 200 for answer in answers)
        return {answer.text.split("\n")[0] for answer in answers}

    def stop(self) -> None:
        self.http.close()
        self.caddy.terminate()
        self.caddy.wait(30)
        for server in (self.one, self.two, self.web):
            server.end()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.stop()


def validate(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "Caddyfile"
    file.write_text(text)
    command = [str(caddy_path()), "validate", "--adapter=caddyfile", f"--config={file}"]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(folder), "PATH": ""},
    )


@pytest.mark.parametrize("tls", ["internal", "off", "acme"])
def test_caddy_takes_every_kind_of_configuration(tls: Tls, tmp_path: Path) -> None:
    names = ["shop.example", "[::1]"]
    for host in ("127.0.0.1", "::1", "localhost", "::", "0.0.0.0"):
        gateway = GatewayConfig(names, 8443, "127.0.0.1:1", EXAMPLE.replicas, tls, host=host)
        done = validate(caddyfile(gateway), tmp_path)
        assert done.returncode == 0, done.stderr


def test_the_example_to_run_by_hand_is_what_the_code_makes(tmp_path: Path) -> None:
    made = caddyfile(EXAMPLE)
    assert (ROOT / "deploy" / "Caddyfile").read_text() == made
    command = [str(caddy_path()), "fmt", "-"]
    formatted = subprocess.run(command, input=made, capture_output=True, text=True, check=True)
    assert formatted.stdout == made


def test_hsts_is_sent_for_public_names_only() -> None:
    public = GatewayConfig(["shop.example"], 443, "127.0.0.1:1", EXAMPLE.replicas, "acme")
    assert "-Strict-Transport-Security" in caddyfile(EXAMPLE)
    assert "Strict-Transport-Security" not in caddyfile(public)


def raw(port: int, path: str, host: str = "") -> int:
    """The status of a GET of exactly this path."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("GET", path, skip_host=bool(host))
    if host:
        connection.putheader("Host", host)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def test_internal_paths_are_hidden_and_foreign_host_names_are_refused(
    house: House,
) -> None:
    paths = ["/metrics", "/metrics/", "/health/ready", "/health", "/internal/x"]
    paths += [
        "//metrics",
        "/./metrics",
        "/x/../metrics",
        "/api/../metrics",
        "/%6detrics",
        "/METRICS",
    ]
    assert {path: raw(house.port, path) for path in paths} == dict.fromkeys(paths, 404)
    assert raw(house.port, "/metricsx") == 200
    assert raw(house.port, "/", host="evil.example") == 421
    assert not any("metrics" in asked for asked in house.web.asked if asked != "GET /metricsx")


@pytest.mark.parametrize("tls", ["off", "internal"])
def test_the_gateway_listens_on_its_address_only(tls: Tls, tmp_path: Path) -> None:
    house = House(tmp_path, tls)
    try:
        found = {(str(one.host), one.port) for one in listening([house.caddy.pid])}
    finally:
        house.stop()
    assert found == {("127.0.0.1", house.port), ("127.0.0.1", house.inner_port)}


def test_responses_have_security_headers_and_client_addresses_are_true(house: House) -> None:
    answer = house.http.get(
        "/api/booking/x", headers={"X-Forwarded-For": "203.0.113.9", "Traceparent": "00-a-b-01"}
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "via" not in answer.headers
    assert "X-Forwarded-For: 127.0.0.1" in answer.text
    assert "203.0.113.9" not in answer.text
    assert "Traceparent: 00-a-b-01" in answer.text


def test_a_body_that_is_too_long_is_refused_before_anybody_reads_it(house: House) -> None:
    answer = house.http.post("/api/booking/x", content=b"x" * 200_000)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 413
    page = house.http.post("/x", content=b"x" * 200_000)
    assert page.status_code == 413
    assert "text/html" in page.headers["content-type"]


def test_requests_go_to_all_ready_replicas_and_no_other(house: House) -> None:
    wait_for(lambda: house.names() == {"one", "two"}, "both are asked")
    house.one.is_ready = False
    wait_for(lambda: house.names() == {"two"}, "the unready one is left out")
    third = Server("three", house.spare_port)
    wait_for(lambda: house.names() == {"two", "three"}, "the new one is found")
    house.one.is_ready = True
    wait_for(lambda: house.names() == {"one", "two", "three"}, "the ready one is back")
    third.end()
    assert house.names() == {"one", "two"}, "nobody notices"


def test_a_request_that_reached_no_replica_is_sent_to_another(house: House) -> None:
    wait_for(lambda: house.names() == {"one", "two"}, "both are asked")
    house.one.end()
    answers = [house.http.post("/api/booking/x", content=b"x") for _ in range(6)]
    assert {answer.text.split("\n")[0] for answer in answers} == {"two"}
    house.one = Server("one again")  # to be stopped with the others


@pytest.mark.parametrize(("method", "again"), [("POST", False), ("GET", True)])
def test_only_safe_requests_are_repeated(
    house: House,
    method: str,
    again: bool,  # noqa: FBT001 a table of cases
) -> None:
    answer = house.http.request(method, "/api/booking/break")
    assert answer.status_code == 502
    assert answer.headers["retry-after"]
    asked = [what for what in (*house.one.asked, *house.two.asked) if "break" in what]
    assert set(asked) == {f"{method} /api/booking/break"}
    assert (len(asked) > 1) is again


def test_events_are_passed_on_as_they_come(house: House) -> None:
    with house.http.stream("GET", "/api/booking/events") as stream:
        lines = stream.iter_lines()
        assert next(lines) == "data: first"
        for server in (house.one, house.two):
            server.go_on.set()
        assert [line for line in lines if line] == ["data: second"]


def test_requests_wait_for_a_service_that_restarts(house: House) -> None:
    for server in (house.one, house.two):
        server.end()
    back: list[Server] = []
    timer = threading.Timer(0.5, lambda: back.append(Server("three", house.spare_port)))
    timer.start()

    def is_answered() -> bool:
        return house.http.post("/api/booking/x", content=b"x").is_success

    wait_for(is_answered, "the one that came is asked")
    timer.join()
    house.one, house.two = back[0], Server("two again")
