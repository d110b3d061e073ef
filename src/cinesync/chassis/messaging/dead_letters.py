"""Messages that their consumer could not handle: an operator lists, shows and replays them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from cinesync.chassis.database import Database, Row, Transaction, text

LETTERS_MAX = 1000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed too often in `queue`, with the last error; `died_at` where known."""

    queue: str
    event_id: UUID
    name: str
    body: bytes
    error: str
    died_at: datetime | None


class DeadLetters(Protocol):
    """The dead letters of one kind of bus, for `cinesync queues`."""

    async def waiting(self, queues: Sequence[str]) -> list[DeadLetter]:
        """The dead letters of `queues`, oldest first, at most LETTERS_MAX a queue."""

    async def replay(self, queue: str, event_ids: Collection[UUID] | None = None) -> int:
        """Deliver these (or all) to their consumer again; how many. The inbox drops duplicates."""


class DatabaseDeadLetters:
    """Those of the embedded bus: a table in the database of the service that failed."""

    def __init__(self, databases: Mapping[str, Database]) -> None:
        self._databases = databases

    async def waiting(self, queues: Sequence[str]) -> list[DeadLetter]:
        """The dead letters of `queues`, oldest first."""
        found: list[DeadLetter] = []
        for queue in queues:
            found += await self._database(queue).read(select_letters, queue)
        return found

    async def replay(self, queue: str, event_ids: Collection[UUID] | None = None) -> int:
        """Move them to the outbox of the consuming service: the embedded bus delivers them to every
        consumer, and inboxes drop what they have handled."""
        return await self._database(queue).run(replay, queue, event_ids)

    def _database(self, queue: str) -> Database:
        return self._databases[queue.split(".", 1)[0]]


async def select_letters(tx: Transaction, queue: str) -> list[DeadLetter]:
    """The oldest letters of `queue`."""
    statement = text(
        "SELECT queue, event_id, name, body, error, died_at FROM dead_letters"
        " WHERE queue = CAST(:queue AS text)"
        " ORDER BY died_at ASC, event_id ASC LIMIT CAST(:limit AS bigint)"
    )
    rows = await tx.execute(statement, {"queue": queue, "limit": LETTERS_MAX})
    return [_letter(row) for row in rows]


async def replay(tx: Transaction, queue: str, event_ids: Collection[UUID] | None = None) -> int:
    """Move letters to the outbox, as unsent."""
    letters = await select_letters(tx, queue)
    chosen = [x for x in letters if event_ids is None or x.event_id in event_ids]
    if chosen:
        await _insert_unsent(tx, chosen)
        await _delete_letters(tx, queue, [letter.event_id for letter in chosen])
    return len(chosen)


async def _insert_unsent(tx: Transaction, letters: Sequence[DeadLetter]) -> None:
    statement = text(
        "INSERT INTO outbox (event_id, name, body, occurred_at)"
        " SELECT t.event_id, t.name, t.body, now() FROM unnest("
        " CAST(:event_ids AS uuid[]), CAST(:names AS text[]), CAST(:bodies AS bytea[]))"
        " AS t(event_id, name, body)"
        " ON CONFLICT (event_id) DO UPDATE SET sent_at = NULL"
    )
    parameters = {
        "event_ids": [letter.event_id for letter in letters],
        "names": [letter.name for letter in letters],
        "bodies": [letter.body for letter in letters],
    }
    await tx.execute(statement, parameters)
    tx.has_events = True


async def _delete_letters(tx: Transaction, queue: str, event_ids: Sequence[UUID]) -> None:
    statement = text(
        "DELETE FROM dead_letters WHERE queue = CAST(:queue AS text)"
        " AND event_id = ANY(CAST(:event_ids AS uuid[]))"
    )
    await tx.execute(statement, {"queue": queue, "event_ids": sorted(event_ids)})


def _letter(row: Row) -> DeadLetter:
    return DeadLetter(row.queue, row.event_id, row.name, bytes(row.body), row.error, row.died_at)
