"""`import movies FILE`: reads, cleans, and tells the catalogue, batch by batch."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cinesync.chassis import clock
from cinesync.chassis.db import Database
from cinesync.movies import service
from cinesync.movies.cleaning import (
    RELEASE_DATE,
    Cleaned,
    Record,
    Rejection,
    clean,
    duplicate,
)
from cinesync.movies.model import Movie
from cinesync.movies.reading import records
from cinesync.movies.release import newest_year, stated_year

BATCH_MAX = 500


@dataclass(slots=True)
class ImportReport:
    """What became of each record, while it happens; `on_progress` is called after each batch.

    `record_count` is that of the whole file; `repairs` are lines for people.
    """

    on_progress: Callable[["ImportReport"], None] = lambda _report: None
    record_count: int = 0
    read_count: int = 0
    added_count: int = 0
    changed_count: int = 0
    unchanged_count: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)

    @property
    def accepted_count(self) -> int:
        """Records that are films of the catalogue now."""
        return self.added_count + self.changed_count + self.unchanged_count

    def lines(self, file_name: str) -> Iterator[str]:
        """One line for each rejected record: file, line, field, what is wrong, what is right."""
        for rejection in self.rejections:
            for fault in rejection.faults:
                yield f"{file_name}:{rejection.line}: {fault}"

    def summary(self) -> str:
        """The outcome in one sentence."""
        return (
            f"{self.read_count} records: {self.accepted_count} accepted ({self.added_count} new,"
            f" {self.changed_count} changed, {self.unchanged_count} known), {len(self.repairs)}"
            f" values mended, {len(self.rejections)} rejected."
        )


async def import_movies(db: Database, path: Path, report: ImportReport) -> None:
    """Fill `report`. A second import of the same file changes nothing.

    The whole file is read once before anything is written: to see that it can be read, and which
    years its films are of. Raises BrokenFile.
    """
    newest = await asyncio.to_thread(_newest_year, path, report)
    first_lines: dict[tuple[str, int], int] = {}
    batch: list[Movie] = []
    for item in records(path):
        report.read_count += 1
        movie = _accept(item, newest, first_lines, report)
        if movie is not None:
            batch.append(movie)
        if len(batch) == BATCH_MAX:
            await _tell(db, batch, report)
            batch = []
    await _tell(db, batch, report)


def _newest_year(path: Path, report: ImportReport) -> int:
    films_by_year: Counter[int] = Counter()
    for item in records(path):
        report.record_count += 1
        if isinstance(item, Record):
            year = stated_year(str(item.fields.get(RELEASE_DATE)))
            films_by_year.update([year] if year else [])
    return newest_year(films_by_year, clock.now().year)


def _accept(
    item: Record | Rejection,
    newest: int,
    first_lines: dict[tuple[str, int], int],
    report: ImportReport,
) -> Movie | None:
    result = clean(item, newest) if isinstance(item, Record) else item
    if isinstance(result, Cleaned):
        first_line = first_lines.setdefault(result.movie.key(), result.line)
        if first_line == result.line:
            report.repairs += [f"line {result.line}: {repair}" for repair in result.repairs]
            return result.movie
        result = duplicate(result, first_line)
    report.rejections.append(result)
    return None


async def _tell(db: Database, batch: list[Movie], report: ImportReport) -> None:
    told = await db.run(service.tell_movies, batch)
    report.added_count += told.added
    report.changed_count += told.changed
    report.unchanged_count += told.unchanged
    report.on_progress(report)
