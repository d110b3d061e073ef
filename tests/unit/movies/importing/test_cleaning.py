"""Records of a messy list are repaired or rejected, with reasons."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinesync.movies.importing.cleaning import (
    Cleaned,
    RawRecord,
    Rejection,
    clean,
    duplicate,
    not_a_record,
)
from cinesync.movies.model import TYPES, Movie
from cinesync.movies.ratings import CERTIFICATES
from tests.integration.movies.conftest import relaxed

FULL = {
    "Title": "The Land Girls",
    "Release Date": "Jun 12 1998",
    "MPAA Rating": "R",
    "Running Time min": 111,
    "Distributor": "Gramercy",
    "Source": "Based on Book/Short Story",
    "Major Genre": "Drama",
    "Creative Type": "Historical Fiction",
    "Director": "David Leland",
    "Rotten Tomatoes Rating": 55,
    "IMDB Rating": 6.1,
    "IMDB Votes": 1071,
}


def movie(**fields: Any) -> Movie:
    result = clean(RawRecord(2, FULL | fields), 2011)
    assert isinstance(result, Cleaned), result
    return result.movie


def rejection(fields: Mapping[str, object]) -> str:
    result = clean(RawRecord(7, {**FULL, **fields}), 2011)
    assert isinstance(result, Rejection)
    return str(result)


def test_a_good_record_becomes_a_film_without_repairs() -> None:
    result = clean(RawRecord(2, FULL), 2011)
    assert result == Cleaned(
        2,
        Movie(
            title="The Land Girls",
            release_date=date(1998, 6, 12),
            certificate="R",
            genre="Drama",
            running_minutes=111,
            director="David Leland",
            distributor="Gramercy",
            source="Based on Book/Short Story",
            creative_type="Historical Fiction",
            tomatoes_percent=55,
            imdb_tenths=61,
            imdb_votes=1071,
        ),
    )


def test_a_title_alone_is_enough() -> None:
    result = clean(RawRecord(2, {"Title": "Wings", "Director": None, "IMDB Votes": "N/A"}), 2011)
    assert isinstance(result, Cleaned)
    assert result.movie == Movie(title="Wings")


@pytest.mark.parametrize(
    ("raw", "title"),
    [
        (300, "300"),
        (1941.0, "1941"),
        (9.5, "9.5"),
        ("Unknown", "Unknown"),
        ("Barbarians, The", "The Barbarians"),
        ("AMERICAN TAIL, AN", "An AMERICAN TAIL"),
        ("Fantasia 2000 (IMAX)", "Fantasia 2000"),
        ("Steal (Canadian Release)", "Steal"),
        ("The Land Girls (1998)", "The Land Girls"),
        ("Summer of (1971)", "Summer of (1971)"),
        ("Precious (Based on a Novel)", "Precious (Based on a Novel)"),
        ("LÃ©on", "Léon"),
        ("LÈon", "LÈon"),
        ("$", "$"),
        ("¿", "¿"),
        ("أحمد\u200f", "أحمد\u200f"),
        ("evil\u202egnp.", "evilgnp."),
        ("a\u2066b\u2069", "ab"),
    ],
)
def test_titles_are_repaired(raw: object, title: str) -> None:
    assert movie(Title=raw).title == title


@pytest.mark.parametrize(
    ("raw", "certificate"),
    [
        ("pg13", "PG-13"),
        ("Open", "Not Rated"),
        ("X", "NC-17"),
        ("unrated", "Not Rated"),
        ("", None),
    ],
)
def test_ratings_are_known_by_their_other_names(raw: str, certificate: str | None) -> None:
    assert movie(**{"MPAA Rating": raw}).certificate == certificate


@pytest.mark.parametrize(
    ("raw", "minutes"),
    [(95, 95), ("96", 96), ("95 min", 95), ("1h 35m", 95), ("2 h", 120), (95.0, 95), ("-", None)],
)
def test_running_times_are_read(raw: object, minutes: int | None) -> None:
    assert movie(**{"Running Time min": raw}).running_minutes == minutes


def test_other_numbers_are_read() -> None:
    assert movie(**{"IMDB Votes": "1,071"}).imdb_votes == 1071
    assert movie(**{"IMDB Rating": "6,1"}).imdb_tenths == 61
    assert movie(**{"Rotten Tomatoes Rating": "55%"}).tomatoes_percent == 55
    assert movie(**{"IMDB Votes": float("nan")}).imdb_votes is None


def test_concerts_type_and_language_are_recognised() -> None:
    assert movie(**{"Major Genre": "Concert/Performance"}).type == "concert"
    assert movie(Type="Live", Language="FR") == movie(Type="live", Language="fr")
    assert movie(Language="fr").language == "fr"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"Title": None}, "line 7: Title: there is none; give the film's title"),
        ({"Title": " null "}, "line 7: Title: there is none; give the film's title"),
        ({"Title": "-"}, "Title: '-' cannot be read"),
        ({"Title": True}, "Title: True is not a text; give the film's title"),
        ({"Title": "???!"}, "cannot be read; save the file as UTF-8"),
        ({"Title": "Caf\ufffd"}, "cannot be read; save the file as UTF-8"),
        ({"Title": "x" * 301}, "301 characters are too many; use at most 300"),
        ({"Director": ["A"]}, "Director: ['A'] is not a text"),
        (
            {"MPAA Rating": "XXL"},
            "MPAA Rating: 'XXL' is not a rating; use one of G, PG",
        ),
        ({"Running Time min": -5}, "-5 is not possible; write a whole number of minutes, 1 to 600"),
        ({"Running Time min": "long"}, "'long' is not a number"),
        ({"Running Time min": True}, "True is not a number"),
        ({"IMDB Rating": 61}, "IMDB Rating: 61 is not possible; write a rating from 0 to 10"),
        ({"Rotten Tomatoes Rating": 12.5}, "12.5 is not possible"),
        ({"Release Date": "3/4/1998"}, "may be day/month or month/day; write it as 1998-06-12"),
        ({"Type": "opera"}, "'opera' is not a type; use one of film, live, concert"),
        ({"Language": "English"}, "use an ISO 639 code"),
        ({"MPAA Rating": "?!zz", "IMDB Votes": "many"}, " | IMDB Votes: 'many' is not a number"),
    ],
)
def test_a_rejection_names_field_fault_and_correction(
    fields: Mapping[str, object], reason: str
) -> None:
    assert reason in rejection(fields)


def test_repairs_are_reported() -> None:
    result = clean(
        RawRecord(2, FULL | {"Title": "Barbarians, The", "Release Date": "1-Jun-39"}), 2011
    )
    assert isinstance(result, Cleaned)
    assert result.repairs == (
        "Title: 'Barbarians, The' read as 'The Barbarians'",
        "Release Date: '1-Jun-39' has a year of two digits: 1939",
    )


def test_duplicates_and_non_objects_are_rejected_with_their_line() -> None:
    first = clean(RawRecord(9, FULL), 2011)
    assert isinstance(first, Cleaned)
    assert str(duplicate(first, 2)) == (
        "line 9: Title: 'The Land Girls' of 1998 is on line 2 already; keep one of the two"
    )
    undated = Cleaned(9, Movie(title="Drei"))
    assert "of an unknown year is on line 2" in str(duplicate(undated, 2))
    assert str(not_a_record(3, [1, 2])).startswith("line 3: record: [1, 2] is not an object")
    assert len(str(not_a_record(3, "x" * 999))) < 150


_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())
)


@relaxed
@given(st.dictionaries(st.sampled_from([*FULL, "Type", "Language"]), _values))
def test_any_record_is_cleaned_or_rejected(fields: dict[str, object]) -> None:
    result = clean(RawRecord(1, fields), 2011)
    if isinstance(result, Rejection):
        assert result.faults
        assert all(fault.wrong and fault.right for fault in result.faults)
        return
    film = result.movie
    assert film.title
    assert film.type in {None, *TYPES}
    assert film.certificate in {None, *CERTIFICATES}
    assert film.running_minutes is None or 1 <= film.running_minutes <= 600
    assert film.imdb_tenths is None or 0 <= film.imdb_tenths <= 100


@relaxed
@given(st.dictionaries(st.sampled_from([*FULL]), _values))
def test_cleaning_clean_values_changes_nothing(fields: dict[str, object]) -> None:
    once = clean(RawRecord(1, FULL | fields), 2011)
    if isinstance(once, Rejection):
        return
    film = once.movie
    again = clean(
        RawRecord(1, {"Title": film.title, "Director": film.director, "Source": film.source}), 2011
    )
    assert isinstance(again, Cleaned)
    assert (again.movie.director, again.movie.source) == (film.director, film.source)
