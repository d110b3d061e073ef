"""The load generator against a small server whose every pause is known."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bench.load import flows
from bench.load.driver import drive
from bench.load.flows import Ask, Endpoint, Fetch
from bench.load.generator import Plan, Run
from bench.load.wire import body_of, request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
PAUSE_SECONDS = 0.3

Answer = Callable[[int], Awaitable[bytes]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    """A server that answers request after request of a connection; gives its port."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                count += 1
                writer.write(await answer(count))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def fetches(count: int) -> list[Fetch]:
    return [Fetch(request("GET", "/", "x")) for _ in range(count)]


async def run(plan: Plan) -> Run:
    running = Run(plan)
    await running.connect()
    await running.go()
    running.close()
    return running


async def test_waiting_for_a_connection_counts_as_latency() -> None:
    """One slow answer makes all behind it late: what a closed loop would hide."""

    async def answer(number: int) -> bytes:
        await asyncio.sleep(PAUSE_SECONDS if number == 1 else 0)
        return OK

    async with serving(answer) as port:
        done = await run(Plan("127.0.0.1", port, fetches(5), 1, arrivals=[0.0] * 5))
    assert min(done.report.latencies["all"]) >= PAUSE_SECONDS
    assert done.report.answers == {("get", 200): 5}


async def test_a_closed_loop_asks_again_only_when_it_was_answered() -> None:
    running = most = 0

    async def answer(_: int) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        return OK

    async with serving(answer) as port:
        done = await run(Plan("127.0.0.1", port, fetches(50), connections=3))
    assert done.report.answers == {("get", 200): 50}
    assert most <= 3


async def test_a_busy_answer_is_tried_again_and_its_wait_counts() -> None:
    async def answer(number: int) -> bytes:
        return BUSY if number == 1 else OK

    async with serving(answer) as port:
        plan = Plan("127.0.0.1", port, fetches(1), 1, retry_seconds=PAUSE_SECONDS)
        done = await run(plan)
    assert (done.report.retries, done.report.answers) == (1, {("get", 200): 1})
    assert done.report.latencies["all"][0] >= PAUSE_SECONDS


async def test_a_connection_that_ends_is_counted_and_replaced() -> None:
    async def answer(number: int) -> bytes:
        if number == 1:
            raise ConnectionResetError
        return OK

    async with serving(answer) as port:
        done = await run(Plan("127.0.0.1", port, fetches(3), 1))
    assert done.report.answers == {("get", 0): 1, ("get", 200): 2}


async def test_what_is_never_answered_is_reported() -> None:
    async def answer(_: int) -> bytes:
        await asyncio.Event().wait()
        return OK

    async with serving(answer) as port:
        plan = Plan("127.0.0.1", port, fetches(2), 1, arrivals=[0.0, 0.0], drain_seconds=0.1)
        done = await run(plan)
    assert done.report.unanswered == 2


async def test_a_generator_of_its_own_process_reports_its_own_cpu_time() -> None:
    async def answer(_: int) -> bytes:
        return OK

    async with serving(answer) as port:
        outcome = await drive(Plan("127.0.0.1", port, fetches(20), 2))
    assert outcome.report.answers == {("get", 200): 20}
    assert outcome.cpu_seconds["generator"] > 0
    assert "generator" in outcome.cpu_ms_each(20)


async def test_a_purchase_pays_for_the_hold_it_was_given() -> None:
    hold_id = "0b7c7a7e-1111-4222-8333-444444444444"
    buyer = flows.purchase(Endpoint("x", 1), "token", "show")
    paying = buyer.after(0, 201, f'{{"hold_id":"{hold_id}","seats":["A1"]}}'.encode())
    assert paying is not None
    assert hold_id.encode() in paying
    assert buyer.after(0, 409, b"{}") is None
    assert buyer.after(1, 201, b"{}") is None


async def test_an_asker_keeps_the_answer() -> None:
    asker = Ask(request("GET", "/", "x"))

    async def answer(_: int) -> bytes:
        return OK

    async with serving(answer) as port:
        await run(Plan("127.0.0.1", port, [asker], 1))
    assert asker.answer == b"ok"


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 200", None),
    ],
)
def test_an_answer_is_whole_or_not(data: bytes, body: bytes | None) -> None:
    assert body_of(data) == body
