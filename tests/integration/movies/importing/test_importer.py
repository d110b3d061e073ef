"""`import movies`: a real list, a messy one, and repeated imports."""

import csv
import json
import lzma
from datetime import date
from pathlib import Path

import pytest

from cinesync.chassis.database import Database, Transaction, text
from cinesync.movies.importing import importer
from cinesync.movies.importing.cleaning import Cleaned, RawRecord, clean
from cinesync.movies.importing.importer import ImportReport, import_movies
from cinesync.movies.importing.record_reader import BrokenFile, records
from cinesync.movies.model import Movie
from cinesync.movies.text import Misread
from tests.support.places import DATA


async def _films(tx: Transaction) -> dict[tuple[str, int], date | None]:
    rows = await tx.execute(text("SELECT title, release_year, release_date FROM events"))
    return {(row.title, row.release_year): row.release_date for row in rows}


@pytest.fixture
def real_list(tmp_path: Path) -> Path:
    """The 3,201 films of the vega-datasets package."""
    path = tmp_path / "movies.json"
    path.write_bytes(lzma.decompress((DATA / "movies.json.xz").read_bytes()))
    return path


async def test_the_real_list_is_imported_but_for_two_records(db: Database, real_list: Path) -> None:
    seen: list[int] = []
    report = ImportReport(on_progress=lambda so_far: seen.append(so_far.read_count))
    await import_movies(db, real_list, report, misread=Misread.MAC_ROMAN)
    assert report.summary() == (
        "3201 records: 3199 accepted (3199 new, 0 changed, 0 known), 68 values repaired,"
        " 2 rejected."
    )
    assert list(report.lines("movies.json")) == [
        "movies.json:1725: Title: 'Fantasia 2000' of 2000 is on line 340 already;"
        " keep one of the two",
        "movies.json:3055: Title: there is none; give the film's title",
    ]
    assert report.record_count == report.read_count == seen[-1] == 3201
    films = await db.read(_films)
    assert films["Gone with the Wind", 1939] == date(1939, 12, 15)
    assert films["King Kong", 1933] == date(1933, 4, 7)
    assert films["The Naked Gun 2½: The Smell of Fear", 1991]
    assert films["300", 2007]
    assert films["Drei", 0] is None
    assert max(year for _, year in films) == 2011


def test_the_real_list_is_the_same_as_csv(real_list: Path, tmp_path: Path) -> None:
    raw = json.loads(real_list.read_bytes())
    path = tmp_path / "movies.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(raw[0]))
        writer.writeheader()
        writer.writerows(raw)

    def movies(source: Path) -> list[Movie | None]:
        cleaned = [clean(item, 2011) for item in records(source) if isinstance(item, RawRecord)]
        return [item.movie if isinstance(item, Cleaned) else None for item in cleaned]

    assert movies(path) == movies(real_list)


async def test_a_second_import_changes_nothing(db: Database, real_list: Path) -> None:
    await import_movies(db, real_list, ImportReport())
    before = await db.read(_films)
    again = ImportReport()
    await import_movies(db, real_list, again)
    assert (again.added_count, again.changed_count, again.unchanged_count) == (0, 0, 3199)
    assert await db.read(_films) == before


async def test_the_report_of_a_messy_list_is_as_recorded(db: Database) -> None:
    report = ImportReport()
    await import_movies(db, DATA / "messy.csv", report, misread=Misread.MAC_ROMAN)
    lines = [*report.lines("messy.csv"), *report.repairs, report.summary()]
    assert "\n".join(lines) + "\n" == (DATA / "messy.report.txt").read_text(encoding="utf-8")


async def test_a_corrected_record_changes_its_film_only(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "films.csv"
    path.write_text("Title,Release Date,Running Time min\nWings,1927,\nSunrise,1927,94\n")
    await import_movies(db, path, ImportReport())
    path.write_text("Title,Release Date,Running Time min\nWings,1927,144\nSunrise,1927,\n")
    report = ImportReport()
    await import_movies(db, path, report)
    assert (report.added_count, report.changed_count, report.unchanged_count) == (0, 1, 1)

    async def minutes(tx: Transaction) -> list[int]:
        return list((await tx.execute(text("SELECT running_minutes FROM events"))).scalars())

    assert sorted(await db.read(minutes)) == [94, 144]


async def test_a_broken_file_changes_nothing(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "films.json"
    path.write_text('[{"Title": "Wings"},\n{"Title": oops}]')
    with pytest.raises(BrokenFile, match=r"films\.json:2: This is not JSON"):
        await import_movies(db, path, ImportReport())
    assert await db.read(_films) == {}


async def test_a_batch_is_written_whole_or_not_at_all(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import is interrupted after the first batch, and then repeated."""
    monkeypatch.setattr(importer, "BATCH_MAX", 2)
    path = tmp_path / "films.csv"
    path.write_text("Title\nA\nB\nC\nD\n")
    report = ImportReport(on_progress=_stop)
    with pytest.raises(KeyboardInterrupt):
        await import_movies(db, path, report)
    assert {title for title, _ in await db.read(_films)} == {"A", "B"}
    await import_movies(db, path, again := ImportReport())
    assert (again.added_count, again.unchanged_count) == (2, 2)


def _stop(_report: ImportReport) -> None:
    raise KeyboardInterrupt
