"""Messages that their consumer could not handle: an operator lists, shows and replays them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy import bindparam, delete, func, select

from cinesync.chassis.database import (
    Database,
    Row,
    Transaction,
    any_of,
    batch,
    compiled,
    insert_from,
)
from cinesync.chassis.database.tables import dead_letters, outbox

LETTERS_MAX = 1000

SELECT_LETTERS = compiled(
    select(
        dead_letters.c.queue,
        dead_letters.c.event_id,
        dead_letters.c.name,
        dead_letters.c.body,
        dead_letters.c.error,
        dead_letters.c.died_at,
    )
    .where(dead_letters.c.queue == bindparam("queue"))
    .order_by(dead_letters.c.died_at, dead_letters.c.event_id)
    .limit(LETTERS_MAX)
)
INSERT_UNSENT = compiled(
    insert_from(
        outbox,
        batch("letters", dead_letters.c.event_id, dead_letters.c.name, dead_letters.c.body),
        occurred_at=func.now(),
    ).on_conflict_do_update(index_elements=[outbox.c.event_id], set_={"sent_at": None})
)
DELETE_LETTERS = compiled(
    delete(dead_letters).where(
        dead_letters.c.queue == bindparam("queue"), any_of(dead_letters.c.event_id, "event_ids")
    )
)


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
    rows = await tx.execute(SELECT_LETTERS, {"queue": queue})
    return [_letter(row) for row in rows]


async def replay(tx: Transaction, queue: str, event_ids: Collection[UUID] | None = None) -> int:
    """Move letters to the outbox, as unsent."""
    letters = await select_letters(tx, queue)
    chosen = [x for x in letters if event_ids is None or x.event_id in event_ids]
    if chosen:
        await tx.execute(INSERT_UNSENT, {"letters": chosen})
        tx.has_events = True
        ids = [letter.event_id for letter in chosen]
        await tx.execute(DELETE_LETTERS, {"queue": queue, "event_ids": ids})
    return len(chosen)


def _letter(row: Row) -> DeadLetter:
    return DeadLetter(row.queue, row.event_id, row.name, bytes(row.body), row.error, row.died_at)
