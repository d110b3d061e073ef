"""`curate` makes the shipped film list."""

import lzma
from datetime import date
from pathlib import Path

import msgspec
import pytest

from cinesync.movies.demo import curate
from cinesync.movies.demo.curate import Curation, curated
from cinesync.movies.demo.seeding import shipped_movies
from cinesync.movies.model import Movie
from tests.support.places import DATA

LIST = DATA / "movies.json.xz"


def film(title: str, votes: int, genre: str = "Drama") -> Movie:
    return Movie(title=title, certificate="R", genre=genre, running_minutes=100, imdb_votes=votes)


def test_the_shipped_list_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "movies.json"
    source.write_bytes(lzma.decompress(LIST.read_bytes()))
    curation = curate.DATA / "curation.json"
    shipped = (curate.DATA / "films.json").read_bytes()
    (tmp_path / "curation.json").write_bytes(curation.read_bytes())
    monkeypatch.setattr(curate, "DATA", tmp_path)
    curate.main(str(source))
    assert (tmp_path / "films.json").read_bytes() == shipped
    assert len(msgspec.json.decode(shipped)) == len({m.key() for m in shipped_movies()})


def test_the_best_known_of_each_genre_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curate, "FILMS_PER_GENRE_MAX", 1)
    films = [film("A", 3), film("B", 2), film("C", 1, "Horror"), Movie(title="No data")]
    assert [movie.title for movie in curated(films, Curation())] == ["A", "C"]
    curation = Curation(also=["B"], left_out=["C"], additions=[film("Gala", 9)])
    assert [movie.title for movie in curated(films, curation)] == ["Gala", "A", "B"]


def test_corrections_complete_a_film() -> None:
    update = Curation(corrections={"Drei": {"language": "de", "release_date": "2010-12-23"}})
    better = curated([film("Drei", 1)], update)[0]
    assert (better.language, better.release_date) == ("de", date(2010, 12, 23))
    assert better.running_minutes == 100
