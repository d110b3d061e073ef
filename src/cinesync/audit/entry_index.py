"""An index of the ledger's entries by kind and subject, in a temporary file of the audit."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from cinesync.audit.expected_entries import BY_NAME
from cinesync.proofs.entries import LedgerEntry

SCHEMA: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE entries (
    kind TEXT NOT NULL, subject TEXT NOT NULL, place INTEGER NOT NULL, sentence TEXT NOT NULL
);
"""
LAST: Final = "g"  # above every UUID


class EntryLocation(StrEnum):
    """Where an entry was found: in the chain, or on its way there."""

    CHAIN = "the chain"
    JOURNAL = "the validators' journals"
    SUBMITTER = "the ledger service"
    OUTBOX = "an outbox"


PLACES: Final = tuple(EntryLocation)


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """One entry of a subject, with its facts as a sentence."""

    place: EntryLocation
    sentence: str


class EntryIndex:
    """Fill it, sort it, then read ranges; one thread at a time. The caller deletes the folder."""

    def __init__(self, folder: Path) -> None:
        self._connection = sqlite3.connect(
            folder / "entries.sqlite", isolation_level=None, check_same_thread=False
        )
        self._connection.executescript(SCHEMA)
        self._connection.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def forget_chain(self) -> None:
        """Delete the chain's entries, to read another replica."""
        self._connection.execute("DELETE FROM entries WHERE place = 0")

    def add(self, place: EntryLocation, entries: Iterable[LedgerEntry]) -> None:
        """Add the entries of kinds that a database has rows for."""
        at = PLACES.index(place)
        rows = (
            (entry.kind, kind.subject(entry), at, kind.of_entry(entry))
            for entry in entries
            if (kind := BY_NAME.get(entry.kind)) is not None
        )
        self._connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", rows)

    def sort(self) -> None:
        """Finish filling."""
        self._connection.execute("COMMIT")
        self._connection.execute("CREATE INDEX by_subject ON entries (kind, subject)")

    def between(
        self, kind: str, after: str, last: str, limit: int | None = None
    ) -> dict[str, Sequence[FoundEntry]]:
        """Entries by subject, in order: above `after`, up to `last`, at most `limit` subjects."""
        statement = (
            "SELECT subject, place, sentence FROM entries"
            " WHERE kind = ? AND subject > ? AND subject <= ? ORDER BY subject"
        )
        found: dict[str, list[FoundEntry]] = defaultdict(list)
        with closing(self._connection.execute(statement, (kind, after, last))) as rows:
            for subject, place, sentence in rows:
                if subject not in found and len(found) == limit:
                    break
                found[subject].append(FoundEntry(PLACES[place], sentence))
        return dict(found)
