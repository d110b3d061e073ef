"""Converts a record of a film list to a Movie, or to a rejection with the needed correction."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TypeVar

from cinesync.movies.importing.release_dates import DateUnreadable, read_date
from cinesync.movies.model import RUNNING_MINUTES_MAX, TYPES, Movie
from cinesync.movies.ratings import BOARDS, certificate
from cinesync.movies.text import Misread, readable, without_mac_roman

T = TypeVar("T")

TITLE_CHARACTERS_MAX = 300
NAME_CHARACTERS_MAX = 200
VOTES_MAX = 100_000_000
SHOWN_CHARACTERS_MAX = 60

TITLE = "Title"
RELEASE_DATE = "Release Date"

_NO_TITLE = frozenset({"", "n/a", "nan", "null", "none"})  # but there is a film named Unknown
_NOTHING = _NO_TITLE | frozenset({"-", "--", "?", "na", "nil", "unknown"})
_ARTICLE_LAST = re.compile(r"(.+), (The|An?)", re.IGNORECASE)
_EDITION = re.compile(r" \((?:IMAX|[\w' ]+ (?:Release|Cut|Edition))\)$", re.IGNORECASE)
_YEAR_LAST = re.compile(r"(.+) \(((?:19|20)\d\d)\)")
_NUMBER = re.compile(r"-?\d{1,12}(?:\.\d{1,6})?")
_MINUTES = re.compile(r"(\d{1,3})\s*(?:m|min|mins|minutes)\.?", re.IGNORECASE)
_HOURS = re.compile(r"(\d)\s*h(?:\s*(\d{1,2})\s*(?:m|min)?)?", re.IGNORECASE)
_LANGUAGE = re.compile(r"[a-z]{2,3}")


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record of a file, unchanged, and its line."""

    line: int
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class FieldFault:
    """What is wrong in a field, and how to correct it."""

    field: str
    wrong: str
    right: str

    def __str__(self) -> str:
        return f"{self.field}: {self.wrong}; {self.right}"


@dataclass(frozen=True, slots=True)
class Rejection:
    """A record that cannot be imported, with all reasons."""

    line: int
    faults: tuple[FieldFault, ...]

    def __str__(self) -> str:
        return f"line {self.line}: " + " | ".join(map(str, self.faults))


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A film, the repairs of its record, and doubtful values that stay."""

    line: int
    movie: Movie
    repairs: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class _Unusable(ValueError):
    """A value that no rule can repair."""

    def __init__(self, wrong: str, right: str) -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.right = right


class _Reader:
    """Reads the fields of one record, and collects faults and repairs."""

    def __init__(
        self, fields: Mapping[str, object], newest_year: int, misread: Misread | None
    ) -> None:
        self._fields = fields
        self.newest_year = newest_year
        self.misread = misread
        self.faults: list[FieldFault] = []
        self.repairs: list[str] = []

    def read(self, field: str, rule: Callable[[object], T]) -> T | None:
        value = self._fields.get(field)
        if _is_nothing(value, _NO_TITLE if field == TITLE else _NOTHING):
            return None
        try:
            result = rule(value)
        except _Unusable as unusable:
            self.faults.append(FieldFault(field, unusable.wrong, unusable.right))
            return None
        if isinstance(result, str) and result != value:
            self.repairs.append(f"{field}: {shown(value)} read as {shown(result)}")
        return result


def clean(
    record: RawRecord, newest_year: int, misread: Misread | None = None
) -> Cleaned | Rejection:
    """The film of a record. A year after `newest_year` has lost its century."""
    reader = _Reader(record.fields, newest_year, misread)
    title = reader.read(TITLE, partial(_title, misread=misread))
    if title is None and not reader.faults:
        reader.faults.append(FieldFault(TITLE, "there is none", "give the film's title"))
    released = _release_date(reader)
    movie = _movie(reader, _without_year(title or "", released), released)
    if reader.faults:
        return Rejection(record.line, tuple(reader.faults))
    doubts = () if misread else tuple(_doubts(movie))
    return Cleaned(record.line, movie, tuple(reader.repairs), doubts)


def _doubts(movie: Movie) -> Iterator[str]:
    """Texts that may be Latin letters decoded as Mac Roman, or may be correct."""
    for field, text in ((TITLE, movie.title), ("Director", movie.director or "")):
        meant = without_mac_roman(text)
        if meant != text:
            yield f"{field}: {shown(text)} stays; it may be {shown(meant)}, read as Mac Roman"


def duplicate(cleaned: Cleaned, first_line: int) -> Rejection:
    """The rejection of a film that the file has twice."""
    year = cleaned.movie.release_date.year if cleaned.movie.release_date else "an unknown year"
    wrong = f"{shown(cleaned.movie.title)} of {year} is on line {first_line} already"
    return Rejection(cleaned.line, (FieldFault(TITLE, wrong, "keep one of the two"),))


def not_a_record(line: int, value: object) -> Rejection:
    """The rejection of a value that is not an object."""
    wrong = f"{shown(value)} is not an object"
    return Rejection(line, (FieldFault("record", wrong, 'write one as {"Title": …}'),))


def shown(value: object) -> str:
    """A value as a report quotes it: on one line, and short."""
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[: SHOWN_CHARACTERS_MAX - 1]}…"


def _movie(reader: _Reader, title: str, released: date | None) -> Movie:
    name = partial(_name, misread=reader.misread)
    genre = reader.read("Major Genre", name)
    stated_type = reader.read("Type", _type)
    return Movie(
        title=title,
        release_date=released,
        type=stated_type or ("concert" if genre == "Concert/Performance" else None),
        language=reader.read("Language", _language),
        certificate=reader.read("MPAA Rating", _certificate),
        genre=genre,
        running_minutes=reader.read("Running Time min", _running_minutes),
        director=reader.read("Director", name),
        distributor=reader.read("Distributor", name),
        source=reader.read("Source", name),
        creative_type=reader.read("Creative Type", name),
        tomatoes_percent=reader.read("Rotten Tomatoes Rating", _percent),
        imdb_tenths=reader.read("IMDB Rating", _tenths),
        imdb_votes=reader.read("IMDB Votes", _votes),
    )


def _is_nothing(value: object, words: frozenset[str]) -> bool:
    if isinstance(value, str):
        return value.strip().casefold() in words
    return value is None or (isinstance(value, float) and math.isnan(value))


def _release_date(reader: _Reader) -> date | None:
    def rule(value: object) -> date | None:
        try:
            released, repair = read_date(str(value), reader.newest_year)
        except DateUnreadable as unreadable:
            raise _Unusable(shown(value) + unreadable.why, unreadable.right) from None
        if repair:
            reader.repairs.append(f"{RELEASE_DATE}: {shown(value)} {repair}")
        return released

    return reader.read(RELEASE_DATE, rule)


def _title(value: object, misread: Misread | None) -> str:
    """A title may be a number: 300, 1941, 2012."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _Unusable(f"{shown(value)} is not a text", "give the film's title")
    whole = isinstance(value, float) and value.is_integer()
    title = _legible(str(int(value)) if whole else str(value), TITLE_CHARACTERS_MAX, misread)
    if article := _ARTICLE_LAST.fullmatch(title):
        title = f"{article[2].capitalize()} {article[1]}"
    return _EDITION.sub("", title)


def _without_year(title: str, released: date | None) -> str:
    """`King Kong (1933)` is King Kong, because the release date has the year."""
    match = _YEAR_LAST.fullmatch(title)
    if match and released and int(match[2]) == released.year:
        return match[1]
    return title


def _name(value: object, misread: Misread | None) -> str:
    if not isinstance(value, str):
        raise _Unusable(f"{shown(value)} is not a text", "write a text or leave it empty")
    return _legible(value, NAME_CHARACTERS_MAX, misread)


def _legible(value: str, characters_max: int, misread: Misread | None) -> str:
    """Films are named $ and …, but a text of question marks alone has lost its letters."""
    text = readable(value, misread)
    if "\ufffd" in text or not any(map(_is_legible, text)):
        raise _Unusable(
            f"{shown(value)} cannot be read", "save the file as UTF-8 and write it again"
        )
    if len(text) > characters_max:
        raise _Unusable(f"{len(text)} characters are too many", f"use at most {characters_max}")
    return text


def _is_legible(char: str) -> bool:
    return char not in "?!-–—_." and unicodedata.category(char)[0] not in "CZ"


def _certificate(value: object) -> str:
    known = certificate(str(value))
    if known is None:
        first, *others = BOARDS
        boards = f"{', '.join(BOARDS[first])}, or one of {', '.join(others)}"
        raise _Unusable(f"{shown(value)} is not a rating", f"use one of {boards}")
    return known


def _type(value: object) -> str:
    text = str(value).strip().lower()
    if text not in TYPES:
        raise _Unusable(f"{shown(value)} is not a type", f"use one of {', '.join(TYPES)}")
    return text


def _language(value: object) -> str:
    text = str(value).strip().lower()
    if not _LANGUAGE.fullmatch(text):
        raise _Unusable(f"{shown(value)} is not a language", "use an ISO 639 code such as en or fr")
    return text


def _number(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    text = str(value).strip().replace(",", "").removesuffix("%").strip()
    if isinstance(value, str) and _NUMBER.fullmatch(text):
        return float(text)
    raise _Unusable(f"{shown(value)} is not a number", "write a plain number or leave it empty")


def _whole(value: object, low: int, high: int, unit: str) -> int:
    number = _number(value)
    if not low <= number <= high or not number.is_integer():
        raise _Unusable(
            f"{shown(value)} is not possible", f"write a whole number of {unit}, {low} to {high}"
        )
    return int(number)


def _running_minutes(value: object) -> int:
    text = str(value).strip()
    if minutes := _MINUTES.fullmatch(text):
        return _whole(minutes[1], 1, RUNNING_MINUTES_MAX, "minutes")
    if hours := _HOURS.fullmatch(text):
        return _whole(int(hours[1]) * 60 + int(hours[2] or 0), 1, RUNNING_MINUTES_MAX, "minutes")
    return _whole(value, 1, RUNNING_MINUTES_MAX, "minutes")


def _percent(value: object) -> int:
    return _whole(value, 0, 100, "percent")


def _votes(value: object) -> int:
    return _whole(value, 0, VOTES_MAX, "votes")


def _tenths(value: object) -> int:
    decimal = value.replace(",", ".") if isinstance(value, str) else value
    number = _number(decimal)
    if not 0 <= number <= 10:  # noqa: PLR2004 IMDB's scale
        raise _Unusable(f"{shown(value)} is not possible", "write a rating from 0 to 10")
    return round(number * 10)
