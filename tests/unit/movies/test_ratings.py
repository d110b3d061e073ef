"""Ratings of many countries are understood however they are written."""

import pytest

from cinesync.movies.ratings import CERTIFICATES, certificate


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("pg13", "PG-13"),
        ("PG 13", "PG-13"),
        ("nc17", "NC-17"),
        ("12A", "12A"),
        ("12a", "12A"),
        ("FSK 12", "FSK 12"),
        ("fsk12", "FSK 12"),
        ("FSK ab 16", "FSK 16"),
        ("-12", "-12"),
        ("−12", "-12"),
        ("12", "12"),
        ("Tous publics", "TP"),
        ("U/A", "U/A"),
        ("MA15+", "MA 15+"),
        ("not rated", "Not Rated"),
        ("X", "NC-17"),
        ("XXL", None),
        ("", None),
    ],
)
def test_a_rating_is_read_as_its_board_writes_it(written: str, meant: str | None) -> None:
    assert certificate(written) == meant


@pytest.mark.parametrize("text", [one for one in CERTIFICATES if one != "PG13"])
def test_every_rating_is_its_own_spelling(text: str) -> None:
    assert certificate(text) == text
