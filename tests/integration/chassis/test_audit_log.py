"""The audit trail: written with the change, logged after it, read page by page, free of secrets."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import StrEnum
from io import StringIO
from typing import Any
from uuid import UUID

import httpx
import pytest
import structlog

from cinesync.chassis import audit_log, clock, telemetry
from cinesync.chassis.audit_log import SYSTEM, Actor, Entry, Filter
from cinesync.chassis.database import Database, Transaction
from cinesync.chassis.http.audit_log_api import audit_log_route
from tests.conftest import MakeClient, MakeDatabase, Sign
from tests.support.portability.faults import Fault, make_faulty

MANAGER = UUID(int=7)
PATH = "/api/movies/audit-log"


class Did(StrEnum):
    MOVED = "show.moved"
    CANCELLED = "show.cancelled"


@pytest.fixture
async def db(make_database: MakeDatabase) -> Database:
    return await make_database("movies")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What the audit log has written into the log so far."""
    stream = StringIO()
    before = structlog.get_config()
    telemetry.configure_logging("INFO", stream=stream)
    monkeypatch.setattr(audit_log, "log", telemetry.get_logger("audit"))

    def written() -> list[dict[str, Any]]:
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    yield written
    structlog.configure(**before)


def entry(number: int = 1, action: Did = Did.MOVED, **fields: Any) -> Entry:
    by = Actor("manager", MANAGER, "192.0.2.7")
    shown = {"before": {"starts": 1}, "after": {"starts": 2}, "reason": "Snow"} | fields
    return Entry(actor=by, action=action, object_kind="show", object_id=UUID(int=number), **shown)


async def everything(db: Database, **wanted: Any) -> list[audit_log.EntryView]:
    return await db.run_one(audit_log.page, Filter(**wanted))


async def test_an_entry_tells_who_did_what_to_what_and_from_where(
    db: Database, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    with telemetry.Tracing("00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"):
        await db.run(audit_log.append, [entry()])
    [row] = await everything(db)
    assert (row.actor_id, row.actor_role, row.address) == (MANAGER, "manager", "192.0.2.7")
    assert (row.action, row.object_kind, row.object_id) == (
        "show.moved",
        "show",
        str(UUID(int=1)),
    )
    assert (row.before, row.after, row.reason) == ({"starts": 1}, {"starts": 2}, "Snow")
    assert row.trace_id == "0123456789abcdef0123456789abcdef"
    [line] = lines()
    assert (line["event"], line["action"], line["actor_id"]) == (
        "audit.recorded",
        "show.moved",
        str(MANAGER),
    )
    assert (line["entry_id"], line["trace_id"]) == (str(row.entry_id), row.trace_id)


async def test_entries_of_one_change_stand_in_the_order_they_were_given(db: Database) -> None:
    await db.run(audit_log.append, [entry(number) for number in range(20)])
    assert [row.object_id for row in await everything(db)] == [
        str(UUID(int=number)) for number in reversed(range(20))
    ]


async def test_a_change_that_is_rolled_back_leaves_no_entry_and_no_line(
    db: Database, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    async def change_and_fail(tx: Transaction) -> None:
        await audit_log.append(tx, [entry()])
        raise ValueError("refused")

    with pytest.raises(ValueError, match="refused"):
        await db.run(change_and_fail)
    assert await everything(db) == []
    assert lines() == []


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name.lower())
async def test_whatever_fails_there_is_one_entry_and_one_line_of_it(
    db: Database, lines: Callable[[], list[dict[str, Any]]], fault: Fault
) -> None:
    plan = make_faulty(db)
    plan.arm(fault)

    async def act(tx: Transaction) -> None:
        await audit_log.append(tx, [entry()])

    await db.run(act)
    assert plan.has_fired
    plan.arm(None)
    [row] = await everything(db)
    logged = [line["entry_id"] for line in lines() if line["event"] == "audit.recorded"]
    assert logged == [str(row.entry_id)]


@pytest.mark.parametrize(
    "name", ["password", "password_hash", "refresh_token", "card_number", "client_secret", "cvc"]
)
def test_secrets_are_refused_however_deep_they_lie(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        entry(before={name: "x"})
    with pytest.raises(ValueError, match=name):
        entry(after={"account": {name: "x"}})
    entry(after={"price_cards": 1, "currency_code": "EUR"})


@pytest.fixture
async def client(db: Database, make_client: MakeClient) -> httpx.AsyncClient:
    first = clock.now() - timedelta(days=1)
    times = [first, first + timedelta(hours=1), first + timedelta(hours=2)]
    entries = [
        entry(
            number,
            Did.CANCELLED if number == 2 else Did.MOVED,
            occurred_at=time,
            entry_id=UUID(int=(int(time.timestamp() * 1000) << 80) + number),
        )
        for number, time in enumerate(times, 1)
    ]
    by_itself = Entry(actor=SYSTEM, action=Did.MOVED, object_kind="hall", object_id="1")
    await db.run(audit_log.append, [*entries, by_itself])
    return make_client("movies", [audit_log_route("movies", db)])


async def test_managers_and_auditors_read_it_newest_first_and_page_by_page(
    client: httpx.AsyncClient, sign: Sign
) -> None:
    for role in ("manager", "auditor"):
        headers = {"Authorization": f"Bearer {sign(MANAGER, role)}"}
        found: list[str] = []
        query: dict[str, Any] = {"limit": 1}
        while True:
            answer = await client.get(PATH, params=query, headers=headers)
            assert answer.status_code == 200, answer.text
            assert answer.headers["cache-control"] == "no-store"
            [item] = answer.json()["items"]
            found.append(item["object_id"])
            if answer.json()["next"] is None:
                break
            query["after"] = answer.json()["next"]
        assert found == ["1", *(str(UUID(int=n)) for n in (3, 2, 1))]


async def test_nobody_else_reads_it(client: httpx.AsyncClient, sign: Sign) -> None:
    assert (await client.get(PATH)).status_code == 401
    for role in ("customer", "guest", "staff"):
        headers = {"Authorization": f"Bearer {sign(MANAGER, role)}"}
        assert (await client.get(PATH, headers=headers)).status_code == 403


def hours_ago(hours: float) -> str:
    return (clock.now() - timedelta(hours=hours)).isoformat()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"actor": str(MANAGER)}, [3, 2, 1]),
        ({"action": "show.cancelled"}, [2]),
        ({"object": "show"}, [3, 2, 1]),
        ({"object": f"show:{UUID(int=3)}"}, [3]),
        ({"object": "hall:9"}, []),
        ({"object": "show", "since": hours_ago(23.5)}, [3, 2]),
        ({"object": "show", "until": hours_ago(23.5)}, [1]),
        ({"since": hours_ago(23.5), "until": hours_ago(22.5)}, [2]),
    ],
    ids=["actor", "action", "kind", "object", "none", "since", "until", "between"],
)
async def test_it_is_filtered_by_actor_action_object_and_time(
    client: httpx.AsyncClient, sign: Sign, query: dict[str, str], found: list[int]
) -> None:
    headers = {"Authorization": f"Bearer {sign(MANAGER, 'auditor')}"}
    answer = await client.get(PATH, params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    ids = [item["object_id"] for item in answer.json()["items"]]
    assert ids == [str(UUID(int=number)) for number in found]


@pytest.mark.parametrize(
    "query",
    [
        {"actions": "show.moved"},
        {"after": "made up"},
        {"since": "yesterday"},
        {"since": "2026-11-21T19:30:00"},
        {"actor": "me"},
        {"action": "a\x00b"},
        {"limit": "100000"},
    ],
    ids=["misspelt", "cursor", "no time", "no zone", "no id", "NUL", "too many"],
)
async def test_a_wrong_question_is_refused(
    client: httpx.AsyncClient, sign: Sign, query: dict[str, str]
) -> None:
    headers = {"Authorization": f"Bearer {sign(MANAGER, 'auditor')}"}
    answer = await client.get(PATH, params=query, headers=headers)
    assert answer.status_code == 422, answer.text
