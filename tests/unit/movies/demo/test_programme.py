"""The programme of a day: it fits, is plausible, and depends on nothing but its arguments."""

from datetime import date, datetime, time, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinesync.movies.demo.programme import (
    PlannedShow,
    ProgrammeAuditorium,
    ProgrammeFilm,
    ProgrammeTheater,
    day_programme,
    languages,
    week_line_up,
)
from cinesync.movies.model import CLEANING, TRAILERS, TimeRange
from tests.integration.movies.conftest import relaxed

ZONES = ("America/New_York", "Europe/London", "Europe/Paris", "Asia/Beirut", "Asia/Dubai")


def film(
    number: int, minutes: int = 110, certificate: str | None = "R", **fields: str
) -> ProgrammeFilm:
    return ProgrammeFilm(
        movie_id=UUID(int=number),
        title=f"Film {number}",
        running_minutes=minutes,
        popularity=1000 * number,
        certificate=certificate,
        language=fields.get("language", "en"),
        type=fields.get("type", "film"),
    )


def theater(screens: int = 3, zone: str = "Europe/Paris", language: str = "fr") -> ProgrammeTheater:
    auditoriums = [
        ProgrammeAuditorium(auditorium_id=UUID(int=n), name=f"Auditorium {n}", seat_count=100 * n)
        for n in range(1, screens + 1)
    ]
    return ProgrammeTheater(
        name="Palace", time_zone=zone, language=language, auditoriums=auditoriums
    )


FILMS = [
    *(film(n, 85 + n, "R") for n in range(1, 20)),
    *(film(n, 70 + n, "G") for n in range(20, 30)),
    *(film(n, 150, "PG-13", type="live") for n in range(30, 34)),
]

films = st.lists(
    st.builds(
        film,
        st.integers(0, 10_000),
        st.integers(1, 300),
        st.sampled_from(["G", "PG", "R", None]),
        type=st.sampled_from(["film", "film", "live"]),
    ),
    max_size=20,
    unique_by=lambda film: film.movie_id,
)


@relaxed
@given(
    films,
    st.builds(theater, st.integers(1, 6), st.sampled_from(ZONES)),
    st.dates(date(2026, 1, 1), date(2030, 12, 31)),
    st.integers(0, 99),
)
def test_shows_never_overlap_and_every_show_fits(
    films: list[ProgrammeFilm], theater: ProgrammeTheater, day: date, seed: int
) -> None:
    by_id = {film.movie_id: film for film in films}
    shows = day_programme(theater, films, day, seed)
    for show in shows:
        running = timedelta(minutes=by_id[show.movie_id].running_minutes)
        assert show.ends_at == show.starts_at + TRAILERS + running
        assert show.free_at == show.ends_at + CLEANING
        assert show.starts_at.minute % 5 == 0
        assert show.starts_at.astimezone(ZoneInfo(theater.time_zone)).date() == day
    for auditorium in theater.auditoriums:
        own = [show for show in shows if show.auditorium_id == auditorium.auditorium_id]
        assert all(one.free_at <= next_one.starts_at for one, next_one in pairwise(own))


@relaxed
@given(
    st.builds(theater, st.integers(1, 4), st.sampled_from(ZONES)),
    st.dates(date(2026, 1, 1), date(2030, 12, 31)),
)
def test_one_day_ends_before_the_next_begins_even_when_clocks_jump(
    theater: ProgrammeTheater, day: date
) -> None:
    today = day_programme(theater, FILMS, day, 1)
    tomorrow = day_programme(theater, FILMS, day + timedelta(days=1), 1)
    for auditorium in theater.auditoriums:
        last = max(s.free_at for s in today if s.auditorium_id == auditorium.auditorium_id)
        first = min(s.starts_at for s in tomorrow if s.auditorium_id == auditorium.auditorium_id)
        assert last < first


def _local(show: PlannedShow) -> datetime:
    return show.starts_at.astimezone(ZoneInfo("Europe/Paris"))


def test_the_same_seed_and_day_give_the_same_programme() -> None:
    day = date(2026, 11, 21)
    once = day_programme(theater(), FILMS, day, 1)
    assert once == day_programme(theater(), list(reversed(FILMS)), day, 1)
    assert once != day_programme(theater(), FILMS, day, 2)


def test_the_biggest_auditorium_has_the_best_known_film_in_prime_time() -> None:
    day = date(2026, 11, 21)
    shows = day_programme(theater(), FILMS, day, 1)
    adult = [f for f in week_line_up(theater(), FILMS, day, 1) if f.certificate == "R"]
    prime = next(s for s in shows if s.auditorium_id == UUID(int=3) and _local(s).hour == 19)
    assert _local(prime).time() == time(19, 0)
    assert prime.movie_id == adult[0].movie_id


def test_prime_time_shows_start_at_different_times() -> None:
    shows = day_programme(theater(5), FILMS, date(2026, 11, 21), 1)
    starts = [s.starts_at for s in shows if time(19) <= _local(s).time() <= time(20)]
    assert len(set(starts)) >= 5


def test_mornings_are_for_families_and_nights_are_not() -> None:
    family = {film.movie_id for film in FILMS if film.certificate == "G"}
    shows = [
        show
        for day in range(14)
        for show in day_programme(theater(), FILMS, date(2026, 11, 21) + timedelta(days=day), 1)
    ]
    mornings = [show.movie_id in family for show in shows if _local(show).hour < 12]
    nights = [show.movie_id in family for show in shows if _local(show).hour >= 21]
    assert sum(mornings) > 0.8 * len(mornings)
    assert sum(nights) < 0.2 * len(nights)


def test_broadcasts_run_on_event_evenings_in_the_second_auditorium_only() -> None:
    live = {film.movie_id for film in FILMS if film.type == "live"}
    for day in range(14):
        today = date(2026, 11, 21) + timedelta(days=day)
        events = [s for s in day_programme(theater(), FILMS, today, 1) if s.movie_id in live]
        assert len(events) == (today.weekday() in {1, 3})
        assert all(event.auditorium_id == UUID(int=2) for event in events)


def test_a_theater_of_events_only_shows_them_in_prime_time() -> None:
    events = [f for f in FILMS if f.type == "live"]
    shows = day_programme(theater(), events, date(2026, 11, 21), 1)
    assert len(shows) == 3


def test_without_films_there_is_no_programme() -> None:
    assert day_programme(theater(), [], date(2026, 11, 21), 1) == []


def test_shows_of_managers_stay() -> None:
    day = date(2026, 11, 21)
    free = day_programme(theater(), FILMS, day, 1)
    auditorium = UUID(int=3)
    prime = next(s for s in free if s.auditorium_id == auditorium and _local(s).hour == 19)
    taken = TimeRange(prime.starts_at + timedelta(minutes=10), prime.starts_at + timedelta(hours=1))
    stored = day_programme(theater(), FILMS, day, 1, {auditorium: [taken]})
    of_room = [show for show in free if show.auditorium_id == auditorium and show != prime]
    assert [show for show in stored if show.auditorium_id == auditorium] == of_room


@pytest.mark.parametrize(
    ("language", "certificate", "audience", "hour", "heard"),
    [
        ("en", "R", "en", 20, ("en", None)),
        ("en", "R", "fr", 20, ("en", "fr")),
        ("en", "G", "fr", 14, ("fr", None)),
        ("en", "G", "fr", 21, ("en", "fr")),
        ("ja", "G", "en", 14, ("ja", "en")),
    ],
)
def test_family_films_are_dubbed_and_others_subtitled(
    language: str, certificate: str, audience: str, hour: int, heard: tuple[str, str | None]
) -> None:
    shown = film(1, certificate=certificate, language=language)
    local = datetime(2026, 11, 21, hour, tzinfo=ZoneInfo("Europe/Paris"))
    assert languages(shown, audience, local) == heard


def test_a_broadcast_is_never_dubbed() -> None:
    local = datetime(2026, 11, 21, 20, tzinfo=ZoneInfo("Europe/Paris"))
    assert languages(film(1, type="live", language="it"), "fr", local) == ("it", None)
