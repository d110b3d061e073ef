"""Makes the shipped film list: `python -m cinesync.movies.demo.curate movies.json`.

Cleans the list, selects the best known films of each genre, and applies `data/curation.json`:
languages and corrections that the source lacks, concerts and broadcasts.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from cinesync.movies.importing.cleaning import Cleaned, RawRecord, clean
from cinesync.movies.importing.record_reader import records
from cinesync.movies.model import Movie, merge
from cinesync.movies.text import Misread

FILMS_MAX = 140
FILMS_PER_GENRE_MAX = 22
NEWEST_YEAR = 2011  # of this list; see release_dates.newest_year
DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Curation:
    """Manual changes to the list. `corrections` are by title; films in `also` are always selected,
    those in `left_out` never; `additions` are not in the list."""

    corrections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    also: Sequence[str] = ()
    left_out: Sequence[str] = ()
    additions: Sequence[Movie] = ()


def curated(movies: Iterable[Movie], curation: Curation) -> list[Movie]:
    """The films to ship, best known first."""
    corrected = [_corrected(movie, curation) for movie in movies]
    usable = [m for m in corrected if m.title not in curation.left_out and _is_complete(m)]
    usable.sort(key=lambda movie: (-(movie.imdb_votes or 0), movie.title))
    also = [movie for movie in usable if movie.title in curation.also]
    per_genre: Counter[str | None] = Counter()
    chosen: list[Movie] = []
    for movie in usable:
        if movie not in also and per_genre[movie.genre] < FILMS_PER_GENRE_MAX:
            per_genre[movie.genre] += 1
            chosen.append(movie)
    shipped = [*also, *chosen[: FILMS_MAX - len(also)], *curation.additions]
    return sorted(shipped, key=lambda movie: (-(movie.imdb_votes or 0), movie.title))


def _corrected(movie: Movie, curation: Curation) -> Movie:
    correction = curation.corrections.get(movie.title)
    with_defaults = replace(movie, language="en", type=movie.type or "film")
    if correction is None:
        return with_defaults
    return merge(with_defaults, msgspec.convert({"title": movie.title} | dict(correction), Movie))


def _is_complete(movie: Movie) -> bool:
    return None not in (movie.running_minutes, movie.certificate, movie.genre)


def main(source: str) -> None:
    """Write data/films.json, one film a line."""
    curation = msgspec.json.decode((DATA / "curation.json").read_bytes(), type=Curation)
    cleaned = [
        clean(item, NEWEST_YEAR, Misread.MAC_ROMAN)
        for item in records(Path(source))
        if isinstance(item, RawRecord)
    ]
    movies = curated((item.movie for item in cleaned if isinstance(item, Cleaned)), curation)
    lines = ",\n".join(msgspec.json.encode(movie).decode() for movie in movies)
    (DATA / "films.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
