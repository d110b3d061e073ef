"""Rules of films, shows and prices."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from cinesync.movies.model import (
    NEXT,
    Daypart,
    Movie,
    Show,
    ShowOver,
    ShowStatus,
    ShowTransition,
    ShowUnfit,
    Theater,
    TimeRange,
    daypart,
    film_end,
    merge,
    next_status,
    price_zones,
)

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_cancelled_show_stays_cancelled() -> None:
    assert next_status(ShowStatus.SCHEDULED, ShowTransition.EDIT) is ShowStatus.SCHEDULED
    assert next_status(ShowStatus.SCHEDULED, ShowTransition.CANCEL) is ShowStatus.CANCELLED
    for transition in ShowTransition:
        assert (ShowStatus.CANCELLED, transition) not in NEXT
        with pytest.raises(ShowOver, match="cancelled already"):
            next_status(ShowStatus.CANCELLED, transition)


@pytest.mark.parametrize(
    ("hour", "part"),
    [
        (0, Daypart.LATE),
        (4, Daypart.LATE),
        (5, Daypart.MORNING),
        (11, Daypart.MORNING),
        (12, Daypart.AFTERNOON),
        (16, Daypart.AFTERNOON),
        (17, Daypart.EVENING),
        (21, Daypart.EVENING),
        (22, Daypart.LATE),
    ],
)
def test_the_day_has_four_parts(hour: int, part: Daypart) -> None:
    assert daypart(NOON.replace(hour=hour)) is part


def test_films_are_the_same_by_title_and_year() -> None:
    one = Movie(title="Spider-Man", release_date=date(2002, 5, 3), director="Sam Raimi")
    assert one.key() == Movie(title="SPIDERMAN", release_date=date(2002, 1, 1)).key()
    assert one.key() != Movie(title="Spider-Man").key()
    assert Movie(title="Drei").key() == ("drei", 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [("मेला", "माला"), ("Pelé", "Pele"), ("がん", "かん"), ("$", "€"), ("C", "C++"), ("!", "?")],
)
def test_films_differ_by_every_sign_of_their_titles(one: str, other: str) -> None:
    assert Movie(title=one).key() != Movie(title=other).key()


def test_a_film_is_found_with_and_without_spaces() -> None:
    assert Movie(title="Spider-Man", director="Sam Raimi").search_text() == (
        "spider man sam raimi spiderman"
    )


def test_a_title_without_letters_is_found_as_it_is() -> None:
    assert Movie(title="$").search_text() == " $"


def test_missing_values_override_nothing() -> None:
    known = Movie(title="Wings", language="en", running_minutes=144, certificate="PG")
    update = Movie(title="Wings", certificate="PG-13")
    assert merge(known, update) == Movie(
        title="Wings", language="en", running_minutes=144, certificate="PG-13"
    )


def test_a_theater_has_local_time() -> None:
    theater = Theater(
        theater_id=UUID(int=1),
        region="me",
        name="Mirage",
        city="Dubai",
        country="AE",
        address="1 Street",
        time_zone="Asia/Dubai",
        currency="AED",
    )
    assert theater.local(NOON).hour == 16


def test_a_language_label_has_the_subtitles() -> None:
    show = Show(
        show_id=UUID(int=1),
        region="me",
        movie_id=UUID(int=2),
        theater_id=UUID(int=3),
        auditorium_id=UUID(int=4),
        layout_id=UUID(int=5),
        starts_at=NOON,
        ends_at=NOON,
        free_at=NOON,
        local_date=date(2026, 11, 21),
        format="2D",
        language="en",
        subtitles="ar",
        currency="AED",
        prices_cents={},
        seat_count=1,
    )
    assert show.language_label() == "en (subtitles ar)"
    assert (
        Show(
            **{**{n: getattr(show, n) for n in Show.__slots__}, "subtitles": None}
        ).language_label()
        == "en"
    )


def test_adjacent_time_ranges_do_not_overlap() -> None:
    hour = timedelta(hours=1)
    one = TimeRange(NOON, NOON + hour)
    assert not one.overlaps(TimeRange(NOON + hour, NOON + 2 * hour))
    assert not one.overlaps(TimeRange(NOON - hour, NOON))
    assert one.overlaps(TimeRange(NOON + hour / 2, NOON + 2 * hour))
    assert TimeRange(NOON - hour, NOON + 2 * hour).overlaps(one)


def test_trailers_come_before_the_film() -> None:
    assert film_end(NOON, 90) == NOON + timedelta(minutes=105)


def test_every_zone_of_an_auditorium_has_a_price() -> None:
    card = {"standard": 1000, "premium": 1500, "vip": 3000}
    assert price_zones(card, None, ["standard", "premium"], "USD") == {
        "standard": 1000,
        "premium": 1500,
    }
    assert price_zones(card, {"standard": 1}, ["standard"], "USD") == {"standard": 1}
    with pytest.raises(ShowUnfit, match="no price for balcony"):
        price_zones(card, None, ["balcony"], "USD")
    with pytest.raises(ShowUnfit, match="no zone vip; it has standard"):
        price_zones(card, {"vip": 1}, ["standard"], "USD")


def test_a_price_that_no_card_can_pay_is_refused() -> None:
    assert price_zones({}, {"standard": 5_120}, ["standard"], "KWD") == {"standard": 5_120}
    with pytest.raises(ShowUnfit, match=r"5\.124 KWD for standard .* multiples of 0\.010 KWD"):
        price_zones({}, {"standard": 5_124}, ["standard"], "KWD")
