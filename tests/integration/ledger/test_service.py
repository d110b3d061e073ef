"""The service: from events on the bus to receipts in the customer's hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import msgspec
import pytest

from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, lease, text
from cinesync.chassis.messaging.event import Event
from cinesync.contracts.auth import CustomerErased
from cinesync.ledger import routes, service, store
from cinesync.ledger.model import CertifiedBlock, CommittedSubmission
from cinesync.ledger.personal_data import personal_data_router
from cinesync.ledger.queries import LedgerQueries
from cinesync.ledger.submitter import LEASE, Submitter
from cinesync.proofs import completeness, entries, receipts
from cinesync.validator import home, provisioning
from cinesync.validator.network.client import LedgerClient
from cinesync.validator.state_machine import OPERATIONS_MAX
from tests.conftest import MakeClient, MakeDatabase, Sign
from tests.support.ledger_events import booking_events, paid
from tests.support.validator_cluster import ValidatorCluster, until

pytestmark = pytest.mark.slow


@dataclass
class LedgerProcess:
    """A process of the ledger service."""

    db: Database
    client: LedgerClient
    submitter: Submitter
    http: httpx.AsyncClient

    async def record(self, *happened: Event) -> None:
        await self.db.run(service.record, happened)

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        answer = await self.http.get(f"/api/ledger{path}", params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def select(self, statement: str, **values: Any) -> list[Any]:
        async def query(tx: Transaction) -> list[Any]:
            return list(await tx.execute(text(statement), values))

        return await self.db.read(query)

    async def lease_expires_at(self) -> datetime:
        (row,) = await self.select(f"SELECT expires_at FROM leases WHERE name = '{LEASE}'")
        expires_at: datetime = row.expires_at
        return expires_at

    async def committed(self) -> list[dict[str, Any]]:
        rows = await self.select("SELECT body FROM outbox WHERE name = 'ledger.committed'")
        bodies = [msgspec.json.decode(row.body) for row in rows]
        return [one | {"height": body["height"]} for body in bodies for one in body["entries"]]

    async def receipts_of(self, *happened: Event) -> list[bytes]:
        """The receipts, once all are there."""
        event_ids = [event.event_id for event in happened]

        async def all_there() -> bool:
            rows = await self.select(
                "SELECT count(*) AS found FROM submissions JOIN batches USING (batch_id)"
                " WHERE event_id = ANY(CAST(:event_ids AS uuid[])) AND height IS NOT NULL",
                event_ids=event_ids,
            )
            return bool(rows[0].found == len(event_ids))

        await until(all_there, "receipts")
        paths = [f"/api/ledger/receipts/{event_id}" for event_id in event_ids]
        return [(await self.http.get(path)).content for path in paths]


Open = Callable[[ValidatorCluster], Awaitable[LedgerProcess]]


@pytest.fixture
async def start_process(
    make_database: MakeDatabase, make_client: MakeClient
) -> AsyncIterator[Open]:
    """With its loops running."""
    async with AsyncExitStack() as stack:

        async def make(cluster: ValidatorCluster, db: Database | None = None) -> LedgerProcess:
            process = build(cluster, db or await make_database("ledger"), make_client)
            for loop in (process.client.run, process.submitter.run):
                await stack.enter_async_context(running(loop))
            return process

        yield make


def build(cluster: ValidatorCluster, db: Database, make_client: MakeClient) -> LedgerProcess:
    place = home.load(provisioning.client_home(cluster.folder))
    client = LedgerClient(place)
    desk = routes.LedgerContext(db, LedgerQueries(client))
    http = make_client("ledger", list(routes.routes(desk)))
    return LedgerProcess(db, client, Submitter(db, client, place.client), http)


@asynccontextmanager
async def running(loop: Callable[[], Any]) -> AsyncIterator[None]:
    task = asyncio.create_task(loop())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_everything_that_happens_to_a_booking_gets_a_receipt(
    start_process: Open, shared_cluster: ValidatorCluster
) -> None:
    process = await start_process(shared_cluster)
    happened = booking_events()
    await process.record(*happened)
    for event, data in zip(happened, await process.receipts_of(*happened), strict=True):
        receipt = receipts.verify(data, shared_cluster.genesis)
        assert receipt.entry.event_id == str(event.event_id)
        assert receipt.entry.kind == event.name


async def test_each_entry_is_published_once(
    start_process: Open, shared_cluster: ValidatorCluster
) -> None:
    process = await start_process(shared_cluster)
    happened = booking_events()
    await process.record(*happened)
    await process.record(*happened)
    found = await process.receipts_of(*happened)
    told = await process.committed()
    assert {one["entry_event_id"] for one in told} == {str(event.event_id) for event in happened}
    assert len(told) == len(happened)
    by_event = {one["entry_event_id"]: one for one in told}
    for data in found:
        receipt = receipts.verify(data)
        one = by_event[receipt.entry.event_id]
        assert (one["index"], one["height"]) == (receipt.index, receipt.header.height)
        assert one["booking_id"] == receipt.entry.booking_id


async def test_an_event_is_in_the_log_once_though_a_crash_forgot_its_receipt(
    start_process: Open, shared_cluster: ValidatorCluster
) -> None:
    process = await start_process(shared_cluster)
    event = paid(clock.new_id())
    await process.record(event)
    (before,) = await process.receipts_of(event)

    async def forget(tx: Transaction) -> None:
        await tx.execute(text("DELETE FROM receipts"))
        await tx.execute(text("UPDATE batches SET height = NULL"))

    await process.db.run(forget)
    (after,) = await process.receipts_of(event)
    assert receipts.verify(after).index == receipts.verify(before).index


async def test_two_processes_share_the_work_and_nothing_is_there_twice(
    start_process: Any, shared_cluster: ValidatorCluster, make_database: MakeDatabase
) -> None:
    db = await make_database("ledger")
    processes = [await start_process(shared_cluster, db) for _ in range(2)]
    events = [paid(clock.new_id()) for _ in range(40)]
    for at, event in enumerate(events):
        await processes[at % 2].record(event)
    await processes[0].receipts_of(*events)
    assert len(await processes[0].committed()) == 40


async def test_below_a_quorum_everything_waits_and_then_goes_on(
    start_process: Open, cluster: ValidatorCluster
) -> None:
    cluster.start()
    process = await start_process(cluster)
    first = paid(clock.new_id())
    await process.record(first)
    await process.receipts_of(first)
    cluster.kill(0, 1)
    events = [paid(clock.new_id()) for _ in range(300)]
    await process.record(*events)
    renewed_at = await process.lease_expires_at() + timedelta(seconds=lease.LEASE_SECONDS)

    async def outlives_a_lease() -> bool:
        return await process.lease_expires_at() >= renewed_at

    await until(outlives_a_lease, "the lease is renewed while entries wait")
    assert (await process.get("/status"))["waiting"] == 300
    answer = await process.get(f"/receipts/{events[0].event_id}", 404)
    assert answer["type"] == "/problems/no-receipt-yet"
    cluster.start([0, 1])
    for data in await process.receipts_of(*events):
        receipts.verify(data, cluster.genesis)
    assert (await process.get("/status"))["waiting"] == 0


async def test_receipts_need_no_validator(start_process: Open, cluster: ValidatorCluster) -> None:
    cluster.start()
    process = await start_process(cluster)
    events = [paid(clock.new_id()) for _ in range(5)]
    await process.record(*events)
    before = await process.receipts_of(*events)
    cluster.stop()
    after = await process.receipts_of(*events)
    assert after == before
    for data in after:
        receipts.verify(data, cluster.genesis)


async def test_an_erased_customer_cannot_be_found_in_the_chain_any_more(
    start_process: Open, shared_cluster: ValidatorCluster
) -> None:
    process = await start_process(shared_cluster)
    customer_id = clock.new_id()
    event, other = paid(clock.new_id(), customer_id), paid(clock.new_id())
    await process.record(event, other)
    (data, _) = await process.receipts_of(event, other)
    held = receipts.verify(data).entry.commitments["customer_id"]
    (row,) = await process.select(
        "SELECT salt FROM submissions WHERE event_id = CAST(:id AS uuid)", id=event.event_id
    )
    assert entries.commitment(bytes(row.salt), "customer_id", str(customer_id)) == held
    erased = CustomerErased(
        event_id=clock.new_id(), occurred_at=clock.now(), customer_id=customer_id
    )
    await process.db.run(service.forget, [erased])
    rows = await process.select("SELECT event_id, salt, customer_id FROM submissions")
    known = {row.event_id for row in rows if row.salt is not None}
    assert known == {other.event_id}
    receipts.verify(data, shared_cluster.genesis)


async def test_what_comes_late_of_an_erased_customer_is_recorded_without_them(
    make_database: MakeDatabase,
) -> None:
    db = await make_database("ledger")
    customer_id = clock.new_id()
    erased = CustomerErased(
        event_id=clock.new_id(), occurred_at=clock.now(), customer_id=customer_id
    )
    await db.run(service.forget, [erased])
    late, other = paid(clock.new_id(), customer_id), paid(clock.new_id())
    await db.run(service.record, [late, other])

    async def kept(tx: Transaction) -> dict[Any, tuple[Any, Any]]:
        rows = await tx.execute(text("SELECT event_id, salt, customer_id FROM submissions"))
        return {row.event_id: (row.salt, row.customer_id) for row in rows}

    found = await db.read(kept)
    assert found[late.event_id] == (None, None)
    assert found[other.event_id][1] == other.customer_id
    ((one, two),) = await db.read(service.pending, 4)
    assert {one.event_id, two.event_id} == {late.event_id, other.event_id}


async def test_customers_get_the_salts_of_their_entries_and_nobody_elses(
    make_database: MakeDatabase, make_client: MakeClient, sign: Sign
) -> None:
    db = await make_database("ledger")
    customer_id = clock.new_id()
    own = [paid(clock.new_id(), customer_id) for _ in range(3)]
    await db.run(service.record, [*own, paid(clock.new_id())])
    http = make_client("ledger", [personal_data_router(db)])
    headers = {"Authorization": f"Bearer {sign(customer_id, 'customer')}"}
    items: list[Any] = []
    after: dict[str, str] = {}
    while True:
        params = {"limit": "2", **after}
        page = (await http.get("/api/ledger/me/data", headers=headers, params=params)).json()
        items += page["items"]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert {item["event_id"] for item in items} == {str(event.event_id) for event in own}
    for item in items:
        salt = bytes.fromhex(item["salt"])
        (waiting,) = [one for one in own if str(one.event_id) == item["event_id"]]
        entry = entries.entry_of(waiting.name, waiting, salt)
        opened = entries.commitment(salt, "customer_id", item["opens"]["customer_id"])
        assert entry.commitments["customer_id"] == opened
    assert (await http.get("/api/ledger/me/data")).status_code == 401
    wrong = await http.get("/api/ledger/me/data", headers=headers, params={"after": "x"})
    assert wrong.status_code == 422


async def test_what_is_recorded_again_is_in_no_second_batch(make_database: MakeDatabase) -> None:
    db = await make_database("ledger")
    first, second = paid(clock.new_id()), paid(clock.new_id())
    await db.run(service.record, [first])
    await db.run(service.record, [first])
    await db.run(service.record, [first, second])
    ((one, two),) = await db.read(service.pending, 4)
    assert (one.event_id, two.event_id) == (first.event_id, second.event_id)
    assert one.batch_id != two.batch_id
    assert await db.read(store.count_pending) == 2


async def test_many_at_once_fit_into_requests_the_oldest_first(make_database: MakeDatabase) -> None:
    db = await make_database("ledger")
    happened = [paid(clock.new_id()) for _ in range(2 * OPERATIONS_MAX + 1)]
    for part in (happened[:1], happened[1:]):
        await db.run(service.record, part)
    parts = await db.read(service.pending, 2)
    assert [len(part) for part in parts] == [1, OPERATIONS_MAX]
    assert parts[0][0].event_id == happened[0].event_id
    everything = await db.read(service.pending, 9)
    assert sorted(len(part) for part in everything) == [1, OPERATIONS_MAX, OPERATIONS_MAX]
    assert {one.event_id for part in everything for one in part} == {e.event_id for e in happened}


async def test_a_batch_is_published_once_though_two_processes_commit_it(
    make_database: MakeDatabase,
) -> None:
    db = await make_database("ledger")
    events = [paid(clock.new_id()) for _ in range(3)]
    await db.run(service.record, events)
    (part,) = await db.read(service.pending, 1)
    recorded = [
        CommittedSubmission(
            event_id=one.event_id,
            batch_id=one.batch_id,
            kind=one.kind,
            booking_id=one.booking_id,
            index=index,
        )
        for index, one in enumerate(part)
    ]
    for height in (7, 8):
        sealed = CertifiedBlock(height=height, header="h", certificate="c", peaks=b"", leaves=b"")
        await db.run(service.commit, recorded, sealed)
    assert await db.read(service.pending, 1) == []

    async def told(tx: Transaction) -> list[Any]:
        rows = await tx.execute(text("SELECT body FROM outbox WHERE name = 'ledger.committed'"))
        return [msgspec.json.decode(row.body)["height"] for row in rows]

    assert await db.read(told) == [7]
    kept = await db.read(store.stored_proof, events[0].event_id)
    assert kept is not None
    assert kept.block is not None
    assert kept.block.height == 7


# to look at


async def test_status_shows_every_validator(
    start_process: Open, shared_cluster: ValidatorCluster
) -> None:
    process = await start_process(shared_cluster)
    await until(lambda: process.client.connected == 4, "connected")
    found = await process.get("/status")
    assert found["chain"] == shared_cluster.genesis.chain.hex()
    assert [one["replica"] for one in found["validators"]] == [0, 1, 2, 3]
    assert all(one["answers"] for one in found["validators"])
    assert all(one["height"] >= 0 for one in found["validators"])


async def test_the_genesis_is_served(start_process: Open, shared_cluster: ValidatorCluster) -> None:
    process = await start_process(shared_cluster)
    answer = await process.http.get("/api/ledger/genesis")
    assert answer.content == shared_cluster.genesis.encode()
    assert "genesis.json" in answer.headers["content-disposition"]


async def test_blocks_are_paged_down_to_the_first(
    start_process: Open, shared_cluster: ValidatorCluster
) -> None:
    process = await start_process(shared_cluster)
    for _ in range(3):
        event = paid(clock.new_id())
        await process.record(event)
        await process.receipts_of(event)
    page = await process.get("/blocks", limit=2)
    seen = list(page["items"])
    while page["next"]:
        page = await process.get("/blocks", limit=2, after=page["next"])
        seen += page["items"]
    assert [block["height"] for block in seen] == list(range(len(seen), 0, -1))
    for newer, older in pairwise(seen):
        assert newer["header"]["previous"] == older["hash"]


async def test_a_block_shows_its_entries_and_its_certificate(
    start_process: Open, shared_cluster: ValidatorCluster
) -> None:
    process = await start_process(shared_cluster)
    event = paid(clock.new_id())
    await process.record(event)
    (data,) = await process.receipts_of(event)
    receipt = receipts.verify(data)
    found = await process.get(f"/blocks/{receipt.header.height}")
    assert found["hash"] == receipt.header.hash.hex()
    assert [one["entry"]["event_id"] for one in found["entries"]] == [str(event.event_id)]
    assert len(found["certificate"]["signatures"]) >= 3
    assert (await process.get("/blocks/999999", 404))["type"] == "/problems/unknown-block"
    await process.get("/blocks/0", 422)
    await process.get("/blocks", 422, after="bad")


async def test_the_entries_of_a_booking_are_listed(
    start_process: Open, shared_cluster: ValidatorCluster
) -> None:
    process = await start_process(shared_cluster)
    happened = booking_events()
    await process.record(*happened)
    await process.receipts_of(*happened)
    booking_id = happened[1].hold_id  # type: ignore[attr-defined]  # of the payment
    found = await process.get("/entries", booking_id=str(booking_id))
    assert {one["entry"]["event_id"] for one in found["items"]} == {
        str(e.event_id) for e in happened
    }
    assert [one["index"] for one in found["items"]] == sorted(o["index"] for o in found["items"])


async def test_the_completeness_of_a_bookings_entries_is_proven(
    start_process: Open, shared_cluster: ValidatorCluster
) -> None:
    process = await start_process(shared_cluster)
    happened = booking_events()
    await process.record(*happened)
    await process.receipts_of(*happened)
    booking_id = happened[1].hold_id  # type: ignore[attr-defined]  # of the payment
    told = await process.http.get(f"/api/ledger/proofs/booking/{booking_id}")
    proved = completeness.verify(told.content, shared_cluster.genesis)
    assert {one.entry.event_id for one in proved.entries} == {str(e.event_id) for e in happened}
    listed = await process.get("/entries", booking_id=str(booking_id))
    assert [one["index"] for one in listed["items"]] == [one.index for one in proved.entries]
    assert str(booking_id) in told.headers["content-disposition"]
    unknown = await process.http.get(f"/api/ledger/proofs/booking/{clock.new_id()}")
    assert completeness.verify(unknown.content, shared_cluster.genesis).entries == []


async def test_a_receipt_is_served_in_both_forms(
    start_process: Open, shared_cluster: ValidatorCluster
) -> None:
    process = await start_process(shared_cluster)
    event = paid(clock.new_id())
    await process.record(event)
    await process.receipts_of(event)
    path = f"/api/ledger/receipts/{event.event_id}"
    proof = await process.http.get(path, params={"form": "tlog-proof"})
    assert proof.text.startswith("c2sp.org/tlog-proof@v1\nindex ")
    assert (await process.http.get(path, params={"form": "other"})).status_code in {400, 422}
    unknown = await process.get(f"/receipts/{clock.new_id()}", 404)
    assert unknown["type"] == "/problems/no-receipt"


async def test_consistency_is_proven_over_http(
    start_process: Open, shared_cluster: ValidatorCluster
) -> None:
    process = await start_process(shared_cluster)
    events = [paid(clock.new_id()) for _ in range(5)]
    await process.record(*events)
    await process.receipts_of(*events)
    found = await process.get("/proofs/consistency", **{"from": 2, "to": 5})
    assert (found["from_size"], found["to_size"]) == (2, 5)
    assert found["path"]
    await process.get("/proofs/consistency", 422, **{"from": 5, "to": 2})
    await process.get("/proofs/consistency", 422, **{"from": 1, "to": 10**9})


async def test_reads_without_validators_answer_503(
    start_process: Open, cluster: ValidatorCluster
) -> None:
    process = await start_process(cluster)
    nobody = {"booking_id": str(clock.new_id())}
    found = await process.get("/status")
    assert found["height"] is None
    assert not any(one["answers"] for one in found["validators"])
    for path, query in (("/blocks", {}), ("/blocks/1", {}), ("/entries", nobody)):
        answer = await process.get(path, 503, **query)
        assert answer["type"] == "/problems/validators-away"
