"""Four replicators in one loop: what they do when a disk fails or a peer misbehaves."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cinesync.chassis import clock
from cinesync.pbft.messages import FRAME_BYTES_MAX, MalformedMessage
from cinesync.proofs import receipts
from cinesync.supervisor.ports import free_ports
from cinesync.validator import home, main, provisioning
from cinesync.validator.driver import ValidatorDriver
from cinesync.validator.network import transport
from cinesync.validator.network.client import LedgerClient, first_sequence
from cinesync.validator.network.transport import BadFrame, FrameKind, Query, SendQueue
from tests.support.ledger_chains import entry
from tests.support.validator_cluster import until


@asynccontextmanager
async def together(folder: Path) -> AsyncIterator[tuple[LedgerClient, list[ValidatorDriver]]]:
    """A client and four validators; all of it in this process."""
    provisioning.init(folder, [f"127.0.0.1:{port}" for port in free_ports(4)])
    made = [ValidatorDriver(home.load(provisioning.validator_home(folder, at))) for at in range(4)]
    client = LedgerClient(home.load(provisioning.client_home(folder)))
    client.start_sequences_at(first_sequence(0, int(clock.now().timestamp() * 1000)))
    tasks = [asyncio.create_task(loop()) for loop in (client.run, *(one.run for one in made))]
    try:
        await until(lambda: client.connected == 4, "connected")
        yield client, made
    finally:
        await _end(tasks)
        for one in made:
            one.close()


async def _end(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_four_validators_in_one_loop_agree(tmp_path: Path) -> None:
    async with together(tmp_path) as (client, _):
        appended = await client.submit([entry(number).encode() for number in range(5)])
        header, certificate = await client.certify(appended.height)
        (receipt,) = await client.receipts(header, certificate, [entry(3).event_id])
        assert receipts.verify(receipt.encode(), client.genesis).index == 3
        status = (await client.statuses())[0]
        assert (status.height, status.size, status.primary) == (1, 5, 0)
        assert len((await client.query(1, "block", 1))["entries"]) == 5
        assert len((await client.query(1, "block", 0))["entries"]) == 5
        assert await client.query(1, "block", 9) is None
        assert len(await client.query(1, "entries", name=entry(1).booking_id)) == 2
        assert len(await client.query(1, "blocks", 0, 10)) == 1
        assert await client.query(1, "attestation", 9) is None
        assert await client.query(1, "consistency", 2, 5) is not None
        assert await client.query(1, "consistency", 0, 5) is None
        assert await client.query(1, "inclusion", 5, 5) is None
        assert await client.query(1, "anything") is None


async def test_who_opens_the_file_soon_sees_what_was_appended(tmp_path: Path) -> None:
    async with together(tmp_path) as (client, (first, *_)):
        await client.submit([entry(1).encode()])
        path = provisioning.validator_home(tmp_path, first.me) / provisioning.CHAIN_FILE
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as opened:
            statement = "SELECT count(*) FROM entries"
            await until(lambda: opened.execute(statement).fetchone() == (1,), "in the file")


async def test_a_failing_disk_stops_a_validator_before_it_sends(tmp_path: Path) -> None:
    async with together(tmp_path) as (client, made):
        await client.submit([entry(1).encode()])

        class ChainContradiction:
            def write(self, *_: Any, **__: Any) -> None:
                raise sqlite3.OperationalError("disk I/O error")

            def close(self) -> None: ...

        kept = made[3]._journal
        made[3]._journal = ChainContradiction()  # type: ignore[assignment]
        said: list[Any] = []
        made[3]._send = lambda *send: said.append(send)  # type: ignore[method-assign]
        await client.submit([entry(2).encode()])
        failed = made[3]._failed
        assert failed is not None
        await until(failed.done, "it failed")
        assert isinstance(failed.exception(), sqlite3.OperationalError)
        assert said == []
        assert list((await client.submit([entry(3).encode()])).indices) == [2]
        kept.close()


async def test_a_request_whose_reply_does_not_fit_is_refused(tmp_path: Path) -> None:
    async with together(tmp_path) as (client, made):
        (send, *_) = client._pbft.submit(tuple(entry(n).encode() for n in range(257)))
        client._pbft._outstanding.clear()
        with pytest.raises(MalformedMessage, match="more than 256"):
            made[0]._receive("ledger", FrameKind.CONSENSUS, send.frame, SendQueue())


async def test_validators_do_not_query_each_other(tmp_path: Path) -> None:
    async with together(tmp_path) as (_, made):
        back = SendQueue()
        made[0]._receive(1, FrameKind.QUERY, msgspec.json.encode(Query(1, "status")), back)
        made[0]._receive("ledger", FrameKind.ANSWER, b"", back)
        made[0]._receive_from_validator(1, FrameKind.ANSWER, b"")
        with pytest.raises(BadFrame):
            made[0]._receive_from_validator(1, FrameKind.LINKS, b"garbage")
        assert not back._filled.is_set()
        assert made[0]._identify(b"a stranger's key") is None


async def test_a_validator_with_a_new_address_is_found_again(tmp_path: Path) -> None:
    async with together(tmp_path) as (client, made):
        file = client._connections._home.folder / provisioning.NETWORK_FILE
        for nonsense in ("not an address book", '{"0": "nowhere"}', '{"0": ":1"}'):
            file.write_text(nonsense)
            client._connections._reload_addresses()
            assert client.connected == 4
        addresses = dict(enumerate(f"127.0.0.1:{port}" for port in free_ports(4)))
        provisioning.write_addresses(tmp_path, addresses | {2: made[2].home.addresses[2]})
        client._connections._reload_addresses()
        await until(lambda: client.connected == 1, "only the one that did not move")
        client._connections.send(9, b"to nobody")
        provisioning.write_addresses(tmp_path, made[0].home.addresses)
        await until(lambda: client.connected == 4, "all are back")
        assert list((await client.submit([entry(1).encode()])).indices) == [0]


async def test_a_validator_stops_on_sigterm(tmp_path: Path) -> None:
    provisioning.init(tmp_path, [f"127.0.0.1:{port}" for port in free_ports(4)])
    ready = asyncio.Event()
    running = asyncio.create_task(main._run(provisioning.validator_home(tmp_path, 0), ready.set))
    await ready.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


# frames


async def read(data: bytes) -> list[tuple[FrameKind, bytes]]:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return [frame async for frame in transport.frames(reader)]


async def test_frames_come_out_as_they_went_in() -> None:
    packed = transport.pack(FrameKind.QUERY, b"one") + transport.pack(FrameKind.ANSWER, b"")
    assert await read(packed) == [(FrameKind.QUERY, b"one"), (FrameKind.ANSWER, b"")]
    assert await read(packed[:-2]) == [(FrameKind.QUERY, b"one")]


@pytest.mark.parametrize(
    "data", [bytes(4), (FRAME_BYTES_MAX + 2).to_bytes(4, "big"), b"\x00\x00\x00\x01?"]
)
async def test_an_invalid_frame_is_refused_before_it_is_read(data: bytes) -> None:
    with pytest.raises(BadFrame):
        await read(data)


async def test_a_full_queue_drops_its_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "QUEUE_BYTES_MAX", 10)
    sender = SendQueue()
    for number in range(5):
        sender.send(bytes([number]) * 4)
    assert sender.dropped == 3
    assert [frame[0] for frame in sender._queue] == [3, 4]
    sender.send(bytes(50))
    assert [len(frame) for frame in sender._queue] == [50]
