"""`import movies FILE`: reads and cleans records, and writes films in batches."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cinesync.chassis import clock
from cinesync.chassis.database import Database
from cinesync.movies import movie_service
from cinesync.movies.importing.cleaning import (
    RELEASE_DATE,
    TITLE,
    Cleaned,
    RawRecord,
    Rejection,
    clean,
    duplicate,
)
from cinesync.movies.importing.record_reader import UTF_8, records
from cinesync.movies.importing.release_dates import newest_year, stated_year
from cinesync.movies.model import Movie
from cinesync.movies.text import Misread

BATCH_MAX = 500


@dataclass(slots=True)
class ImportReport:
    """Counts and messages of an import; `on_progress` is called after each batch.

    `record_count` is that of the whole file; `repairs` and `doubts` are lines to print.
    """

    on_progress: Callable[["ImportReport"], None] = lambda _report: None
    record_count: int = 0
    read_count: int = 0
    added_count: int = 0
    changed_count: int = 0
    unchanged_count: int = 0
    rejections: list[Rejection] = field(default_factory=list)
    repairs: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    @property
    def accepted_count(self) -> int:
        """Records whose films are stored now."""
        return self.added_count + self.changed_count + self.unchanged_count

    def lines(self, file_name: str) -> Iterator[str]:
        """One line for each rejected record: file, line, field, what is wrong, what is right."""
        for rejection in self.rejections:
            for fault in rejection.faults:
                yield f"{file_name}:{rejection.line}: {fault}"

    def title_repairs(self) -> list[str]:
        """The lines of `repairs` about titles."""
        return [repair for repair in self.repairs if f": {TITLE}: " in repair]

    def summary(self) -> str:
        """The outcome in one sentence."""
        return (
            f"{self.read_count} records: {self.accepted_count} accepted ({self.added_count} new,"
            f" {self.changed_count} changed, {self.unchanged_count} known), {len(self.repairs)}"
            f" values repaired, {len(self.rejections)} rejected."
        )


async def import_movies(
    db: Database,
    path: Path,
    report: ImportReport,
    *,
    encoding: str = UTF_8,
    misread: Misread | None = None,
) -> None:
    """Import a file and fill `report`. A second import of the same file changes nothing.

    `encoding` is that of the file; `misread` is a wrong one in which its texts were decoded before.

    The whole file is read once before anything is written: to check that it can be read, and to
    find the newest year of its films. Raises BrokenFile.
    """
    newest = await asyncio.to_thread(_newest_year, path, encoding, report)
    first_lines: dict[tuple[str, int], int] = {}
    batch: list[Movie] = []
    for item in records(path, encoding):
        report.read_count += 1
        result = clean(item, newest, misread) if isinstance(item, RawRecord) else item
        movie = _accept(result, first_lines, report)
        if movie is not None:
            batch.append(movie)
        if len(batch) == BATCH_MAX:
            await _write(db, batch, report)
            batch = []
    await _write(db, batch, report)


def _newest_year(path: Path, encoding: str, report: ImportReport) -> int:
    films_by_year: Counter[int] = Counter()
    for item in records(path, encoding):
        report.record_count += 1
        if isinstance(item, RawRecord):
            year = stated_year(str(item.fields.get(RELEASE_DATE)))
            films_by_year.update([year] if year else [])
    return newest_year(films_by_year, clock.now().year)


def _accept(
    result: Cleaned | Rejection,
    first_lines: dict[tuple[str, int], int],
    report: ImportReport,
) -> Movie | None:
    if isinstance(result, Cleaned):
        first_line = first_lines.setdefault(result.movie.key(), result.line)
        if first_line == result.line:
            report.repairs += [f"line {result.line}: {repair}" for repair in result.repairs]
            report.doubts += [f"line {result.line}: {doubt}" for doubt in result.doubts]
            return result.movie
        result = duplicate(result, first_line)
    report.rejections.append(result)
    return None


async def _write(db: Database, batch: list[Movie], report: ImportReport) -> None:
    counts = await db.run(movie_service.upsert_movies, batch)
    report.added_count += counts.added
    report.changed_count += counts.changed
    report.unchanged_count += counts.unchanged
    report.on_progress(report)
