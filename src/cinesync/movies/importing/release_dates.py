"""Reads release dates in the formats of film lists, and repairs lost centuries."""

import re
from collections.abc import Mapping
from datetime import date

FIRST_FILM_YEAR = 1888
FUTURE_YEARS_MAX = 5
ATTESTED_FILMS_PERCENT = 1

_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_RIGHT = "write it as 1998-06-12"
# In America, a bad export writes an empty date as the evening before the Unix epoch.
_EPOCH = date(1969, 12, 31)

_MONTH_FIRST = re.compile(r"([A-Za-z]{3,9})\.?[ -](\d{1,2}),?[ -](\d{4}|\d\d)")
_DAY_FIRST = re.compile(r"(\d{1,2})[ -]([A-Za-z]{3,9})\.?,?[ -](\d{4}|\d\d)")
_ISO = re.compile(r"(\d{4})-(\d\d?)-(\d\d?)(?:[T ].*)?")
_NUMBERS = re.compile(r"(\d{1,2})[/.](\d{1,2})[/.](\d{4}|\d\d)")
_YEAR = re.compile(r"(\d{4})(?:\.0)?")
_STATED_YEAR = re.compile(r"(?<!\d)(\d{4})(?!\d)")


class DateUnreadable(ValueError):
    """Not a date; `why` continues a sentence that starts with the text."""

    def __init__(self, why: str, right: str = _RIGHT) -> None:
        super().__init__(why)
        self.why = why
        self.right = right


def stated_year(text: str) -> int | None:
    """The four-digit year in a text, if there is one."""
    match = _STATED_YEAR.search(text)
    return int(match[1]) if match else None


def newest_year(films_by_year: Mapping[int, int], this_year: int) -> int:
    """The last year that is plausible for this file's films.

    A file with films of the far future has lost its centuries: 1933 became 33 and then 2033. Then
    the last plausible year is one year after the latest that has at least a hundredth of the films.
    """
    latest = this_year + FUTURE_YEARS_MAX
    if all(year <= latest for year in films_by_year):
        return latest
    needed = sum(films_by_year.values()) * ATTESTED_FILMS_PERCENT / 100
    attested = [y for y, films in films_by_year.items() if y <= this_year and films >= needed]
    return max(attested, default=this_year) + 1


def read_date(text: str, newest: int) -> tuple[date | None, str]:
    """The date in a text, and its repair (empty: none was needed). Raises DateUnreadable.

    None: the source had no date.
    """
    year, month, day, repair = _parts(text.strip())
    if len(year) == 2:  # noqa: PLR2004 digits
        full = 2000 + int(year) if 2000 + int(year) <= newest else 1900 + int(year)
        repair = f"has a year of two digits: {full}"
    elif int(year) > newest:
        full = int(year) - 100
        repair = f"is of {full}: its year was written with two digits once"
    else:
        full = int(year)
    if not FIRST_FILM_YEAR <= full <= newest:
        raise DateUnreadable(" is no year of a film", f"use {FIRST_FILM_YEAR} to {newest}")
    try:
        released = date(full, month, day)
    except ValueError:
        raise DateUnreadable(" is not in the calendar") from None
    if released == _EPOCH:
        return None, "is where computers' clocks start, not a date: taken as unknown"
    return released, repair


def _parts(text: str) -> tuple[str, int, int, str]:
    """Year as written, month, day, repair."""
    if match := _MONTH_FIRST.fullmatch(text):
        return match[3], _month(match[1]), int(match[2]), ""
    if match := _DAY_FIRST.fullmatch(text):
        return match[3], _month(match[2]), int(match[1]), ""
    if match := _ISO.fullmatch(text):
        return match[1], int(match[2]), int(match[3]), ""
    if match := _NUMBERS.fullmatch(text):
        return match[3], *_month_and_day(int(match[1]), int(match[2])), ""
    if match := _YEAR.fullmatch(text):
        return match[1], 1, 1, "has no day: the first of January is taken"
    raise DateUnreadable(" is not a date")


def _month(name: str) -> int:
    try:
        return _MONTHS[name[:3].lower()]
    except KeyError:
        raise DateUnreadable(" names no month") from None


def _month_and_day(first: int, second: int) -> tuple[int, int]:
    """Decided only if one of the two cannot be a month."""
    if first > 12 >= second:  # noqa: PLR2004 months
        return second, first
    if second > 12 >= first or first == second:  # noqa: PLR2004
        return first, second
    raise DateUnreadable(" may be day/month or month/day")
