"""Processes start, report their health, survive kills, and stop without losses."""

import asyncio
import gc
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from cinesync.chassis import clock
from cinesync.chassis import process as process_module
from cinesync.chassis.database import Database, Transaction, lease, open_database, text
from cinesync.chassis.http import health_api
from cinesync.chassis.messaging.bus import EmbeddedBus
from cinesync.chassis.messaging.event import Message
from cinesync.chassis.process import Process, ProcessSettings, Service
from cinesync.supervisor.postgres import Postgres
from tests.conftest import MakeDatabase
from tests.integration.chassis.toy.app import Toy, build, count_notes, readings, take_note
from tests.integration.chassis.toy.child import WAIT_SECONDS_MAX, Child, free_port

Start = Callable[..., Child]


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """A process collects seldom for good; the tests after these do not."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("tests.integration.chassis.toy")


@pytest.fixture
def start(db: Database, tmp_path: Path) -> Iterator[Start]:
    """Starts children on `db`; whatever still runs at the end is killed."""
    children: list[Child] = []

    def begin(instance: str = "a", **environ: str) -> Child:
        child = Child(db.url, tmp_path / f"{instance}.log", instance, **environ)
        children.append(child)
        return child.until_ready()

    yield begin
    for child in children:
        child.kill()
        child.http.close()


def take(child: Child, words: str = "hi") -> UUID:
    answer = child.http.post("/api/toy/notes", json={"words": words})
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["note_id"])


async def until_read(db: Database, note_id: UUID) -> list[str]:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not (readers := await db.read(readings, note_id)):  # noqa: ASYNC110 another process
            await asyncio.sleep(0.02)
    return readers


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while not condition():  # noqa: ASYNC110 another process
            await asyncio.sleep(0.02)


# Inside one process


class LocalProcess:
    """A process within this one, called through ASGI."""

    def __init__(self, process: Process, toy: Toy) -> None:
        self.process = process
        self.toy = toy
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(process),  # type: ignore[arg-type]
            base_url="http://test",
        )

    async def troubles(self) -> tuple[int, dict[str, str]]:
        answer = await self.http.get("/health/ready")
        troubles: dict[str, str] = answer.json()["troubles"]
        return answer.status_code, troubles


def make_local(db: Database, **settings: object) -> LocalProcess:
    chosen = ProcessSettings(**{"port": free_port(), **settings})  # type: ignore[arg-type]
    built, toy = build(db, "inside")
    return LocalProcess(Process([built], chosen), toy)


@pytest.fixture
async def local(db: Database) -> AsyncIterator[LocalProcess]:
    """A process that does not run: tests call its ASGI app."""
    local = make_local(db)
    yield local
    await local.http.aclose()


async def test_ready_is_ready(local: LocalProcess) -> None:
    assert await local.troubles() == (200, {})
    assert (await local.http.get("/health/live")).json() == {"status": "live"}


async def test_a_database_that_is_not_migrated_is_not_ready(
    local: LocalProcess, db: Database
) -> None:
    async def forget(tx: Transaction) -> None:
        await tx.execute(text("DROP TABLE alembic_version"))

    await db.run(forget)
    assert await local.troubles() == (503, {"toy": "its database is not migrated"})


async def test_a_database_that_is_away_is_not_ready_but_the_process_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health_api, "READY_CHECK_SECONDS", 0.2)
    local = make_local(open_database("postgresql://nobody@/nothing?host=/no/such/folder"))
    status, troubles = await local.troubles()
    assert status == 503
    assert troubles["toy"].startswith("its database does not answer")
    assert (await local.http.get("/health/live")).status_code == 200
    await local.http.aclose()


async def test_a_bus_that_is_away_degrades_a_process_that_goes_on_selling(
    local: LocalProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EmbeddedBus, "trouble", lambda _: "the message broker does not answer")
    answer = await local.http.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "degraded",
        "troubles": {"bus": "the message broker does not answer"},
    }


async def test_ready_reports_what_is_degraded_and_what_closes_intakes(
    local: LocalProcess,
) -> None:
    local.process._health.degraded = {"disk": "only 400 MB are free"}
    answer = await local.http.get("/health/ready")
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    local.process._health.closed = {"toy.relay": "no success for 61 s"}
    answer = await local.http.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "troubles": {"disk": "only 400 MB are free", "toy.relay": "no success for 61 s"},
    }


async def test_a_process_starts_while_its_events_cannot_be_published(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_bus: EmbeddedBus, _messages: Sequence[Message]) -> set[UUID]:
        raise ConnectionError("no broker")

    monkeypatch.setattr(EmbeddedBus, "publish", away)
    await db.run(take_note, clock.new_id(), "before the start")
    local = make_local(db)
    started: list[str] = []

    def on_ready() -> None:
        started.append("ready")
        os.kill(os.getpid(), signal.SIGTERM)

    await local.process.run(nothing, on_ready)
    assert started == ["ready"]


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/", "/api/none/x", "/health", "/healthy", "//x"]
)
async def test_an_unknown_path_gets_a_problem_with_a_trace(local: LocalProcess, path: str) -> None:
    answer = await local.http.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.headers["x-trace-id"]) == 32


async def test_pages_get_every_path_outside_the_apis(db: Database) -> None:
    async def pages(scope: object, receive: object, send: Callable[..., object]) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[misc]
        await send({"type": "http.response.body", "body": b"a page"})  # type: ignore[misc]

    built, toy = build(db, "inside")
    local = LocalProcess(Process([built], ProcessSettings(), pages=pages), toy)
    for path in ("/", "/movies/7", "/apiary", "//api/toy"):
        assert (await local.http.get(path)).text == "a page"
    for path in ("/api/none", "/api", "/health/none"):
        assert (await local.http.get(path)).status_code == 404
    assert (await local.http.get("/health/live")).json() == {"status": "live"}
    await local.http.aclose()


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("192.0.2.7", {}, 404),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.7"}, 404),
        ("127.0.0.1", {"Forwarded": "for=192.0.2.7"}, 404),
    ],
)
async def test_a_public_process_shows_metrics_to_its_own_machine_only(
    db: Database, client: str, headers: Mapping[str, str], status: int
) -> None:
    async def pages(*_: object) -> None:
        """What makes it public."""

    built, _ = build(db, "inside")
    for behind, expected in ((pages, status), (None, 200)):
        process = Process([built], ProcessSettings(), pages=behind)
        transport = httpx.ASGITransport(process, client=(client, 50_000))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            assert (await http.get("/metrics", headers=headers)).status_code == expected


async def test_two_processes_without_a_name_do_not_own_the_same_lease(db: Database) -> None:
    names = {make_local(db).process._name for _ in range(2)}
    assert len(names) == 2
    assert make_local(db, instance="mine").process._name == "mine"


async def nothing() -> None:
    """Nothing to prepare."""


async def test_a_process_runs_until_a_signal_and_closes_everything_once(db: Database) -> None:
    closed: list[str] = []

    async def close() -> None:
        closed.append("closed")

    async def refuse() -> None:
        raise OSError("it will not close")

    built, toy = build(open_database(db.url), "inside", close=[refuse, close])
    process = Process([built], ProcessSettings(port=free_port()))
    await process.run(nothing, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert closed == ["closed"]
    assert toy.over.is_set()
    assert toy.beats > 0
    assert await lease.held(db, "relay", "somebody else"), "it released its lease"


async def test_a_taken_port_is_an_error_and_not_shared(db: Database) -> None:
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        built, _ = build(open_database(db.url), "inside")
        process = Process([built], ProcessSettings(port=somebody.getsockname()[1]))
        with pytest.raises(OSError, match="in use"):
            await process.run(nothing, lambda: pytest.fail("it is not ready"))


async def test_without_the_check_two_servers_would_share_a_port(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = socket.socket(), socket.socket()
    with first, second:
        for one in (first, second):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as Granian does
        first.bind(("127.0.0.1", 0))
        first.listen()
        second.bind(first.getsockname())
        second.listen()


async def test_a_start_that_fails_is_raised_and_everything_closed(db: Database) -> None:
    async def fail() -> None:
        raise ValueError("no film to show")

    built, _ = build(open_database(db.url), "inside")
    process = Process([built], ProcessSettings(port=free_port()))
    with pytest.raises(ValueError, match="no film"):
        await process.run(fail, lambda: pytest.fail("it is not ready"))


async def test_a_process_that_waits_for_its_database_answers_503(db: Database) -> None:
    """As one does that is started again while PostgreSQL is away."""
    seen: dict[str, httpx.Response] = {}
    started: list[str] = []
    port = free_port()

    async def prepare() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
            for path in ("/health/live", "/health/ready", "/api/toy/beats"):
                seen[path] = await http.get(path)

    def on_ready() -> None:
        started.append("ready")
        os.kill(os.getpid(), signal.SIGTERM)

    built, _ = build(open_database(db.url), "inside")
    await Process([built], ProcessSettings(port=port)).run(prepare, on_ready)
    assert started == ["ready"]
    assert seen["/health/live"].status_code == 200
    assert seen["/health/ready"].status_code == 503
    assert seen["/health/ready"].json()["troubles"] == {"process": "starting"}
    assert seen["/api/toy/beats"].status_code == 503
    assert seen["/api/toy/beats"].headers["retry-after"] == "2"
    assert seen["/api/toy/beats"].json()["type"] == "/problems/starting"


async def test_a_signal_while_it_starts_stops_a_process(db: Database) -> None:
    async def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(WAIT_SECONDS_MAX)

    built, _ = build(open_database(db.url), "inside")
    process = Process([built], ProcessSettings(port=free_port()))
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await process.run(stop, lambda: pytest.fail("it is not ready"))


async def test_a_server_that_ends_by_itself_is_an_error(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        """Serves nobody."""

        async def serve(self) -> None:
            """Ends at once."""

        def stop(self) -> None:
            """Has ended already."""

    built, _ = build(open_database(db.url), "inside")
    process = Process([built], ProcessSettings(port=free_port()))
    monkeypatch.setattr(process, "_server", Broken)
    with pytest.raises(process_module.ServerEnded):
        await process.run(nothing, lambda: None)


def test_a_service_needs_little() -> None:
    plain = Service("plain", open_database("postgresql://x@/y?host=/z"), [], "nowhere")
    assert (plain.handlers, plain.listeners, plain.background) == ({}, {}, ())


# Real processes


@pytest.mark.slow
async def test_a_process_serves_reads_its_own_events_and_restarts_its_loops(
    start: Start, db: Database
) -> None:
    child = start()
    assert child.http.get("/health/live").json() == {"status": "live"}
    assert child.http.get("/health/ready").status_code == 200
    assert await until_read(db, take(child)) == ["a"]
    assert child.http.get("/metrics").headers["content-type"].startswith("text/plain; version=")
    relayed = 'cinesync_events_relayed_total{service="toy"} 1.0'
    await until(lambda: relayed in child.http.get("/metrics").text)
    before = child.http.get("/api/toy/beats").json()["beats"]
    await until(lambda: child.http.get("/api/toy/beats").json()["beats"] > before)
    assert child.http.get("/api/toy/docs").status_code == 200
    assert child.http.head("/health/live").status_code == 200
    assert (
        child.http.get("/api/toy/me", headers={"authorization": "Bearer a.b.c"}).status_code == 401
    )
    assert child.stop() == 0


@pytest.mark.slow
async def test_malformed_http_is_answered_and_survived(start: Start) -> None:
    child = start()

    def ask(raw: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", child.port), WAIT_SECONDS_MAX) as wire:
            wire.sendall(raw)
            return wire.recv(100)

    assert ask(b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n").startswith(b"HTTP/1.1 404")
    huge = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 600_000 + b"\r\n\r\n"
    assert ask(huge).startswith(b"HTTP/1.1 431")
    assert ask(b"GET /\x00 HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 400")
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    chunked = (
        b"POST /api/toy/notes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 20 + b"0\r\n\r\n"
    )
    assert ask(chunked).startswith(b"HTTP/1.1 413")
    assert child.http.get("/health/ready").status_code == 200


@pytest.mark.slow
async def test_a_stop_finishes_a_slow_request_and_ends_an_endless_one(start: Start) -> None:
    child = start()
    answers: dict[str, httpx.Response] = {}

    def ask(path: str) -> None:
        with httpx.Client(base_url=child.http.base_url, timeout=WAIT_SECONDS_MAX) as client:
            answers[path] = client.get(path)

    with child.http.stream("GET", "/api/toy/stream") as stream:
        chunks = stream.iter_bytes()
        assert next(chunks) == b"begun;"
        slow = threading.Thread(target=ask, args=["/api/toy/slow"])
        slow.start()
        await until(lambda: child.http.get("/api/toy/beats").json()["slow"] == 1)
        child.process.send_signal(signal.SIGTERM)
        assert b"".join(chunks) == b"ended"
    slow.join()
    assert answers["/api/toy/slow"].json() == {"answer": "late, but here"}
    assert child.process.wait(WAIT_SECONDS_MAX) == 0


@pytest.mark.slow
async def test_a_draining_process_serves_until_balancers_have_noticed(start: Start) -> None:
    child = start(DRAIN_SECONDS="600")
    child.process.send_signal(signal.SIGTERM)
    await until(lambda: child.http.get("/health/ready").status_code == 503)
    take(child, "a late request is served")
    child.process.send_signal(signal.SIGINT)
    assert child.process.wait(WAIT_SECONDS_MAX) == 0


@pytest.mark.slow
async def test_what_was_committed_before_a_kill_is_relayed_after_the_restart(
    start: Start, db: Database
) -> None:
    child = start(KILL_READER="yes")
    # The note is committed; its first reader is killed, and the answer may be lost with it.
    with pytest.raises((httpx.HTTPError, AssertionError)):  # noqa: PT012 one of these many is lost
        for _ in range(1000):
            take(child)
    assert child.process.wait(WAIT_SECONDS_MAX) == -signal.SIGKILL
    assert await db.read(count_notes) > 0
    child.kill()
    child.start(KILL_READER="no")
    child.until_ready()

    async def unread(tx: Transaction) -> int:
        statement = text(
            "SELECT count(*) FROM notes n WHERE"
            " (SELECT count(*) FROM readings r WHERE r.note_id = n.note_id) <> 1"
        )
        return int((await tx.execute(statement)).scalar_one())

    async with asyncio.timeout(WAIT_SECONDS_MAX):
        while await db.read(unread):  # noqa: ASYNC110 another process
            await asyncio.sleep(0.02)


@pytest.mark.slow
async def test_only_the_owner_relays_and_the_other_takes_over_when_the_owner_is_killed(
    start: Start, db: Database
) -> None:
    owner = start("owner")
    assert await until_read(db, take(owner)) == ["owner"]
    other = start("other")
    for _ in range(3):
        assert await until_read(db, take(other)) == ["owner"]
    owner.kill()
    assert await until_read(db, take(other)) == ["other"]


@pytest.mark.slow
async def test_a_database_that_goes_away_makes_a_process_unready_and_does_not_hold_up_its_stop(
    tmp_path: Path,
) -> None:
    server = Postgres(tmp_path / "postgres", durable=False)
    server.start()
    child = Child(server.url("toy"), tmp_path / "child.log")
    try:
        child.until_ready()
        server.stop()
        answer = child.http.get("/health/ready")
        assert answer.status_code == 503
        assert answer.json()["troubles"]["toy"].startswith("its database does not answer")
        assert child.http.get("/health/live").status_code == 200
        assert child.stop() == 0
    finally:
        child.kill()
        child.http.close()
        server.stop()
