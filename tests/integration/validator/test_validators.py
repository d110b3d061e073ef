"""Real validators: killed, paused, wiped, corrupted, lied to; the log goes on or stops safely."""

import asyncio
import shutil
import sqlite3
import ssl
from contextlib import closing, suppress
from pathlib import Path

import pytest

from cinesync.proofs import merkle_log, receipts
from cinesync.validator import home, provisioning
from cinesync.validator.network import transport
from cinesync.validator.network.client import LedgerClient
from cinesync.validator.network.query_client import NoQuorum
from cinesync.validator.network.transport import FrameKind
from tests.support.ledger_chains import entry
from tests.support.validator_cluster import ValidatorCluster, until

pytestmark = pytest.mark.slow


async def write(client: LedgerClient, *numbers: int) -> list[int]:
    appended = await client.submit([entry(number).encode() for number in numbers])
    return list(appended.indices)


async def heights(client: LedgerClient) -> dict[int, int]:
    return {at: status["height"] for at, status in (await client.query_all("status")).items()}


async def level(client: LedgerClient, count: int = 4) -> bool:
    found = await heights(client)
    return len(found) == count and len(set(found.values())) == 1


async def test_what_is_submitted_gets_receipts_that_verify(
    shared_cluster: ValidatorCluster,
) -> None:
    async with shared_cluster.client() as client:
        numbers = range(1000, 1040)
        appended = await client.submit([entry(number).encode() for number in numbers])
        header, certificate = await client.certify(appended.height)
        found = await client.receipts(header, certificate, [entry(n).event_id for n in numbers])
        for number, index, receipt in zip(numbers, appended.indices, found, strict=True):
            checked = receipts.verify(receipt.encode(), shared_cluster.genesis)
            assert (checked.entry, checked.index) == (entry(number), index)


async def test_an_event_is_in_the_log_once_however_often_it_is_sent(
    shared_cluster: ValidatorCluster,
) -> None:
    async with shared_cluster.client() as client:
        first = await write(client, 2001, 2002)
        assert await write(client, 2002, 2003, 2001, 2003) == [
            first[1],
            first[1] + 1,
            first[0],
            first[1] + 1,
        ]


async def test_later_logs_are_proven_to_continue_earlier_ones(
    shared_cluster: ValidatorCluster,
) -> None:
    async with shared_cluster.client() as client:
        older = await client.certify((await client.submit([entry(3001).encode()])).height)
        newer = await client.certify((await client.submit([entry(3002).encode()])).height)
        path = await client.consistency(older[0], newer[0])
        sizes = older[0].size, newer[0].size
        merkle_log.verify_consistency(*sizes, older[0].root, newer[0].root, path)


async def test_there_is_no_certificate_for_what_is_not_there(
    shared_cluster: ValidatorCluster,
) -> None:
    async with shared_cluster.client() as client:
        with pytest.raises(NoQuorum):
            await client.certify(10**9)
        assert await client.query(0, "nonsense") is None
        assert await client.query(0, "inclusion", 5, 10**9) is None
        assert await client.query(0, "consistency", 5, 10**9) is None
        assert await client.query(0, "entry", name="nobody") is None


async def test_a_killed_primary_is_replaced(cluster: ValidatorCluster) -> None:
    cluster.start()
    async with cluster.client() as client:
        await write(client, 1)
        cluster.kill(0)
        assert await write(client, 2) == [1]
        statuses = await client.query_all("status")
        assert {one["primary"] for one in statuses.values()} == {1}
        cluster.start([0])
        await until(lambda: level(client), "the killed one is level again")
        assert await write(client, 3) == [2]


async def test_every_validator_may_be_killed_in_turn_under_load(cluster: ValidatorCluster) -> None:
    cluster.start()
    async with cluster.client() as client:
        places: dict[int, int] = {}
        for process in (0, 1, 2, 3, 0):
            numbers = range(len(places), len(places) + 40)
            sending = [asyncio.create_task(write(client, number)) for number in numbers]
            await asyncio.sleep(0.02)
            cluster.kill(process)
            for number, task in zip(numbers, sending, strict=True):
                places[number] = (await task)[0]
            cluster.start([process])
            await until(lambda: level(client), f"{process} is level again")
        assert sorted(places.values()) == list(range(200))
        sent = [entry(number).encode() for number in places]
        assert list((await client.submit(sent)).indices) == list(places.values())


async def all_wait_for_a_view(client: LedgerClient) -> bool:
    """Whether the view timeout of all that answer has passed without a new view."""
    statuses = (await client.statuses()).values()
    return len(statuses) == 2 and not any(status.active for status in statuses)


async def test_two_of_four_stop_safely_and_three_go_on(cluster: ValidatorCluster) -> None:
    cluster.start()
    async with cluster.client() as client:
        await write(client, 1)
        cluster.kill(2, 3)
        waiting = asyncio.create_task(write(client, 2))
        await until(lambda: all_wait_for_a_view(client), "both gave up on the primary")
        assert not waiting.done()
        assert set((await heights(client)).values()) == {1}
        cluster.start([2])
        assert await waiting == [1]


async def test_nothing_is_lost_when_all_are_killed_at_once(cluster: ValidatorCluster) -> None:
    cluster.start()
    async with cluster.client() as client:
        for number in range(70):
            await write(client, number)
        cluster.kill(0, 1, 2, 3)
    cluster.start()
    async with cluster.client() as client:
        await until(lambda: level(client), "level again")
        assert await write(client, 5, 70) == [5, 70]


async def test_a_restart_before_the_first_checkpoint_sets_no_chain_aside(
    cluster: ValidatorCluster,
) -> None:
    cluster.start()
    async with cluster.client() as client:
        await write(client, 0)

        def is_committed() -> bool:
            path = cluster.home(1) / provisioning.CHAIN_FILE
            with closing(sqlite3.connect(path)) as connection:
                return bool(connection.execute("SELECT 1 FROM entries").fetchall())

        await until(is_committed, "the block is in the file")
        cluster.kill(0, 1, 2, 3)
    cluster.start()
    async with cluster.client() as client:
        assert await write(client, 0, 1) == [0, 1]
    assert not list(cluster.folder.rglob("*.damaged"))


async def test_a_wiped_disk_is_filled_by_the_others(cluster: ValidatorCluster) -> None:
    cluster.start()
    async with cluster.client() as client:
        for number in range(70):  # beyond a checkpoint, so that there is a state to fetch
            await write(client, number)
        cluster.kill(3)
        for file in cluster.home(3).glob("*.sqlite*"):
            file.unlink()
        cluster.start([3])
        await until(lambda: level(client), "the wiped one is level")
        status = await client.query(3, "status")
        assert status["abstaining"]  # it may have signed what it no longer knows
        assert await client.query(3, "entry", name=entry(5).event_id) == await client.query(
            0, "entry", name=entry(5).event_id
        )
        assert await write(client, 70) == [70]


async def test_a_damaged_journal_is_set_aside_and_its_owner_abstains(
    cluster: ValidatorCluster,
) -> None:
    cluster.start()
    async with cluster.client() as client:
        for number in range(70):
            await write(client, number)
        cluster.kill(1)
        _flip_a_record(cluster.home(1) / provisioning.JOURNAL_FILE)
        cluster.start([1])
        await until(lambda: level(client), "the damaged one is level")
        assert (await client.query(1, "status"))["abstaining"]
        assert await write(client, 70) == [70]


def _flip_a_record(path: Path) -> None:
    connection = sqlite3.connect(path)
    (record,) = connection.execute("SELECT record FROM records WHERE seq = 1").fetchone()
    damaged = bytes([*record[:-1], record[-1] ^ 1])
    connection.execute("UPDATE records SET record = ? WHERE seq = 1", (damaged,))
    connection.commit()
    connection.close()


async def test_a_chain_file_that_is_no_database_is_fetched_again(cluster: ValidatorCluster) -> None:
    cluster.start()
    async with cluster.client() as client:
        for number in range(70):
            await write(client, number)
        cluster.kill(2)
        for file in cluster.home(2).glob("chain.sqlite*"):
            file.unlink()
        (cluster.home(2) / provisioning.CHAIN_FILE).write_bytes(b"not a database" * 1000)
        cluster.start([2])
        await until(lambda: level(client), "level again")
        assert (cluster.home(2) / "chain.sqlite.damaged").exists()
        assert not (await client.query(2, "status"))["abstaining"]


async def test_a_paused_validator_catches_up(cluster: ValidatorCluster) -> None:
    cluster.start()
    async with cluster.client() as client:
        cluster.pause(3)
        for number in range(150):  # more than a window of heights
            await write(client, number)
        cluster.resume(3)
        await until(lambda: level(client), "level again")


async def test_an_unknown_key_is_refused(shared_cluster: ValidatorCluster, tmp_path: Path) -> None:
    """Neither one whose authority is another, nor one whose key is not on the chain."""
    provisioning.init(tmp_path / "other", shared_cluster.addresses, "other")
    foreign = provisioning.client_home(tmp_path / "other")
    context = transport.client_context(foreign)
    with pytest.raises((ssl.SSLError, OSError)):
        await _shout(shared_cluster, context)
    context.load_verify_locations(shared_cluster.folder / provisioning.AUTHORITY_FILE)
    with pytest.raises((ssl.SSLError, OSError)):
        await _shout(shared_cluster, context)


async def _shout(shared_cluster: ValidatorCluster, context: ssl.SSLContext) -> None:
    host, _, port = shared_cluster.addresses[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="")
    try:
        writer.write(transport.pack(FrameKind.QUERY, b'{"id":1,"ask":"status"}'))
        await writer.drain()
        if not await reader.read(1):
            raise ConnectionResetError
    finally:
        await transport.abort(writer)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x00\x00\x00",
        b"\xff\xff\xff\xff",
        b"\x00\x00\x00\x02zz",
        transport.pack(FrameKind.CONSENSUS, b"garbage"),
        transport.pack(FrameKind.QUERY, b"garbage"),
        transport.pack(FrameKind.HELLO, b"-1"),
        transport.pack(FrameKind.HELLO, b"1" * 10),
        transport.pack(FrameKind.QUERY, b'{"id":1,"ask":"status","more":1}'),
    ],
)
async def test_garbage_ends_a_connection_and_nothing_else(
    shared_cluster: ValidatorCluster, garbage: bytes
) -> None:
    context = transport.client_context(provisioning.client_home(shared_cluster.folder))
    host, _, port = shared_cluster.addresses[0].rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname="")
    writer.write(garbage)
    assert await reader.read() == b""
    await transport.abort(writer)
    async with shared_cluster.client() as client:
        assert (await client.query(0, "status"))["replica"] == 0


async def test_a_request_with_too_many_entries_is_refused(shared_cluster: ValidatorCluster) -> None:
    async with shared_cluster.client() as client:
        for send in client._pbft.submit(tuple(entry(n).encode() for n in range(300))):
            client._validators[int(send.to)].send(transport.pack(FrameKind.CONSENSUS, send.frame))
        client._pbft._outstanding.clear()

        async def is_absent() -> bool:
            with suppress(TimeoutError):  # the refusal ends the connection
                return await client.query(0, "entry", name=entry(299).event_id) is None
            return False

        await until(is_absent, "an answer over a new connection")


async def test_seven_validators_tolerate_two_faults(tmp_path: Path) -> None:
    seven = ValidatorCluster(tmp_path / "seven", count=7).start()
    try:
        async with seven.client() as client:
            await write(client, 1)
            seven.kill(0, 1)
            appended = await client.submit([entry(2).encode()])
            _, certificate = await client.certify(appended.height)
            assert len(certificate.signatures) == 5
    finally:
        seven.stop()


def test_a_ledger_is_created_once_and_with_at_least_four_validators(tmp_path: Path) -> None:
    with pytest.raises(provisioning.ProvisioningFailed, match="4 to 256"):
        provisioning.init(tmp_path / "three", ["a:1"] * 3)
    provisioning.init(tmp_path / "four", ["127.0.0.1:1"] * 4)
    with pytest.raises(provisioning.ProvisioningFailed, match="already"):
        provisioning.init(tmp_path / "four", ["127.0.0.1:1"] * 4)


def test_a_home_names_its_validator_or_client(tmp_path: Path) -> None:
    provisioning.init(tmp_path, ["127.0.0.1:1"] * 4)
    provisioning.write_addresses(tmp_path, {0: "10.0.0.1:7"})
    validator = home.load(provisioning.validator_home(tmp_path, 2))
    assert (validator.replica, validator.addresses) == (2, {0: "10.0.0.1:7"})
    assert home.load(provisioning.client_home(tmp_path)).client == "ledger"
    assert home.load(provisioning.client_home(tmp_path, "operator")).client == "operator"
    assert (validator.folder / provisioning.KEY_FILE).stat().st_mode & 0o077 == 0


def test_a_folder_that_is_not_a_home_says_why(tmp_path: Path) -> None:
    with pytest.raises(home.NoHome, match="No such file"):
        home.load(tmp_path)
    provisioning.init(tmp_path / "ledger", ["127.0.0.1:1"] * 4)
    mine = home.load(provisioning.validator_home(tmp_path / "ledger", 1))
    with pytest.raises(home.NoHome, match="no client has"):
        _ = mine.client
    shutil.copytree(mine.folder, tmp_path / "elsewhere")
    with pytest.raises(home.NoHome, match="not named"):
        _ = home.load(tmp_path / "elsewhere").replica
