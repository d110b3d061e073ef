"""Takes notes over HTTP, announces them, and reads what was announced."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from cinesync.chassis import clock, telemetry
from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.http.security.access_tokens import Caller
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.event import Event
from cinesync.chassis.process import Service

log = telemetry.get_logger(__name__)

MIGRATIONS = "tests.integration.chassis.toy.migrations"


class NoteTaken(Event, frozen=True, kw_only=True, tag="note.taken"):
    """A note was taken."""

    note_id: UUID
    words: str


class TakeNote(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A note to take."""

    words: Annotated[str, msgspec.Meta(max_length=100)]


class Noted(msgspec.Struct, frozen=True):
    """A note that is committed."""

    note_id: UUID


async def take_note(tx: Transaction, note_id: UUID, words: str) -> None:
    """The note and its event together."""
    await tx.execute(
        text(
            "INSERT INTO notes (note_id, words)"
            " VALUES (CAST(:note_id AS uuid), CAST(:words AS text))"
        ),
        {"note_id": note_id, "words": words},
    )
    event = NoteTaken(
        event_id=clock.new_id(), occurred_at=clock.now(), note_id=note_id, words=words
    )
    await outbox.append(tx, [event])


async def readings(tx: Transaction, note_id: UUID) -> list[str]:
    """Who has read the note: each reading once."""
    rows = await tx.execute(
        text("SELECT reader FROM readings WHERE note_id = CAST(:id AS uuid)"), {"id": note_id}
    )
    return [row.reader for row in rows]


async def count_notes(tx: Transaction) -> int:
    """All notes."""
    return int((await tx.execute(text("SELECT count(*) FROM notes"))).scalar_one())


@dataclass
class Toy:
    """The state of the service."""

    db: Database
    reader: str
    # Whether the first note kills its reader, after the note was committed.
    kills_reader: bool = False
    beats: int = 0
    slow: int = 0

    def __post_init__(self) -> None:
        self.streaming = asyncio.Event()
        self.over = asyncio.Event()

    async def read_notes(self, tx: Transaction, events: Sequence[NoteTaken]) -> None:
        """The consumer of note.taken."""
        if self.kills_reader:
            os.kill(os.getpid(), signal.SIGKILL)
        for event in events:
            await tx.execute(
                text(
                    "INSERT INTO readings (reading_id, note_id, reader) VALUES"
                    " (CAST(:reading_id AS uuid), CAST(:note_id AS uuid), CAST(:reader AS text))"
                ),
                {
                    "reading_id": event.event_id,
                    "note_id": event.note_id,
                    "reader": self.reader,
                },
            )

    async def crash_often(self) -> None:
        """A background loop that crashes now and then."""
        self.beats += 1
        await asyncio.sleep(0.001)
        if self.beats % 2:
            raise RuntimeError("crashed")

    async def end_streams(self) -> None:
        """The drain hook."""
        self.over.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Endless, until drained."""
        yield b"begun;"
        self.streaming.set()
        await self.over.wait()
        yield b"ended"


def build(
    db: Database,
    reader: str,
    *,
    kills_reader: bool = False,
    close: Sequence[Callable[[], Awaitable[None]]] = (),
) -> tuple[Service, Toy]:
    """The service and its state."""
    toy = Toy(db, reader, kills_reader)
    service = Service(
        name="toy",
        database=db,
        routes=_routes(toy),
        migrations=MIGRATIONS,
        handlers={NoteTaken: toy.read_notes},
        background=[toy.crash_often],
        drain=[toy.end_streams],
        close=close,
    )
    return service, toy


def _routes(toy: Toy) -> list[ControllerRouterHandler]:
    @post("/api/toy/notes")
    async def notes(data: JSONBody[TakeNote]) -> Noted:
        note_id = clock.new_id()
        await toy.db.run(take_note, note_id, data.words)
        return Noted(note_id)

    @get("/api/toy/slow")
    async def slow() -> dict[str, str]:
        toy.slow += 1
        await asyncio.sleep(1.0)
        return {"answer": "late, but here"}

    @get("/api/toy/beats")
    async def beats() -> dict[str, int]:
        return {"beats": toy.beats, "slow": toy.slow}

    @get("/api/toy/stream")
    async def stream() -> Stream:
        return Stream(toy.chunks())

    @get("/api/toy/me")
    async def me(caller: NamedDependency[Caller]) -> dict[str, str]:
        return {"customer_id": str(caller.customer_id)}

    return [notes, slow, beats, stream, me]
