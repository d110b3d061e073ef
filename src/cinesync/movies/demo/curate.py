"""Makes the shipped film list: `python -m cinesync.movies.demo.curate movies.json`.

Cleans the list, keeps the best known films that a cinema can show, spread over genres, and lays
`data/curation.json` over them: languages and corrections that the source lacks, and what is no
film (concerts, broadcasts).
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
from cinesync.movies.model import Movie, merged
from cinesync.movies.text import Misread

FILMS_MAX = 140
FILMS_PER_GENRE_MAX = 22
NEWEST_YEAR = 2011  # of this list; see release.newest_year
DATA = Path(__file__).parent / "data"


@dataclass(frozen=True, slots=True)
class Curation:
    """What people know better than the list. `corrections` are by title, `also` are taken in any
    case, `left_out` in none; `additions` are not in the list at all."""

    corrections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    also: Sequence[str] = ()
    left_out: Sequence[str] = ()
    additions: Sequence[Movie] = ()


def curated(movies: Iterable[Movie], curation: Curation) -> list[Movie]:
    """The films to ship, best known first."""
    better = [_corrected(movie, curation) for movie in movies]
    usable = [m for m in better if m.title not in curation.left_out and _is_complete(m)]
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
    spoken = replace(movie, language="en", type=movie.type or "film")
    if correction is None:
        return spoken
    return merged(spoken, msgspec.convert({"title": movie.title} | dict(correction), Movie))


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
