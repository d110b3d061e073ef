"""Release dates, also with lost centuries."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinesync.movies.importing.release_dates import (
    DateUnreadable,
    newest_year,
    read_date,
    stated_year,
)
from tests.integration.movies.conftest import relaxed


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Jun 12 1998", date(1998, 6, 12)),
        ("June 12, 1998", date(1998, 6, 12)),
        ("12-Jun-98", date(1998, 6, 12)),
        ("12-Jun-05", date(2005, 6, 12)),
        ("12 June 1998", date(1998, 6, 12)),
        ("1998-06-12", date(1998, 6, 12)),
        ("1998-06-12T00:00:00Z", date(1998, 6, 12)),
        ("13/6/1998", date(1998, 6, 13)),
        ("6/13/98", date(1998, 6, 13)),
        ("5/5/1998", date(1998, 5, 5)),
        ("1998", date(1998, 1, 1)),
        ("Dec 15 2039", date(1939, 12, 15)),
        ("Apr 07 2033", date(1933, 4, 7)),
        ("Dec 31 1969", None),
    ],
)
def test_dates_are_read_as_they_were_meant(text: str, meant: date | None) -> None:
    assert read_date(text, 2011)[0] == meant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("soon", "is not a date"),
        ("Foo 12 1998", "names no month"),
        ("Feb 30 1998", "is not in the calendar"),
        ("3/4/1998", "may be day/month or month/day"),
        ("13/14/1998", "may be day/month or month/day"),
        ("Jan 01 1700", "is no year of a film"),
        ("Jan 01 2500", "is no year of a film"),
    ],
)
def test_a_date_that_cannot_be_read_says_why(text: str, why: str) -> None:
    with pytest.raises(DateUnreadable, match=why):
        read_date(text, 2011)


def test_a_file_with_films_of_the_far_future_has_lost_its_centuries() -> None:
    real = {1999: 176, 2010: 92, 2011: 2, 2016: 2, 2025: 2, 2033: 3, 2046: 2}
    assert newest_year(real, 2026) == 2011


def test_plausible_years_stay() -> None:
    assert newest_year({1999: 2, 2025: 1, 2027: 1}, 2026) == 2031
    assert newest_year({}, 2026) == 2031


def test_impossible_years_alone_are_read_as_past() -> None:
    assert newest_year({2046: 5}, 2026) == 2027


def test_the_year_in_a_text_is_found() -> None:
    assert stated_year("Jun 12 1998") == 1998
    assert stated_year("12-Jun-98") is None


@relaxed
@given(st.dates(date(1888, 1, 1), date(2011, 12, 31)))
def test_every_date_survives_every_way_to_write_it(day: date) -> None:
    for text in (day.isoformat(), day.strftime("%b %d %Y"), day.strftime("%d-%b-%Y")):
        assert read_date(text, 2011)[0] == (None if day == date(1969, 12, 31) else day)


@relaxed
@given(st.dates(date(1912, 1, 1), date(2011, 12, 31)))
def test_two_digit_years_are_read_within_a_hundred_years(day: date) -> None:
    assert read_date(day.strftime("%b %d %y"), 2011)[0] in {day, None}
