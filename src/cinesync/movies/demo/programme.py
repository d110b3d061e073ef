"""Plans the shows of a theater for a day, from a seed number and the date. Pure.

The best known film of the week has the biggest auditorium in prime time; family films run by day;
no show starts before the auditorium is clean. Equal arguments give equal programmes.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import blake2b
from uuid import UUID
from zoneinfo import ZoneInfo

from cinesync.movies.model import CLEANING, TimeRange, film_end

STEP = timedelta(minutes=5)
OPENS_WEEKDAY = time(11, 30)
OPENS_WEEKEND = time(10, 0)
PRIME = time(19, 0)
PRIME_STAGGER = timedelta(minutes=15)  # so that the audiences do not all leave at once
PRIME_STAGGERS_MAX = 6
LAST_START = timedelta(hours=23, minutes=15)  # since local midnight
CLOSES = timedelta(hours=26, minutes=30)
FAMILY_UNTIL = timedelta(hours=16)
FILMS_PER_AUDITORIUM = 2
POPULARITY_MIN = 1_000  # of a film without votes
FAMILY_SHARE = 3  # every third film of a week is for families
WRONG_HOUR_COST = 2  # in shows: how many fewer a film has had when it runs at the other's hour
SHOWS_PER_AUDITORIUM_MAX = 12
SATURDAY = 5
EVENT_WEEKDAYS = (1, 3)  # live broadcasts and concerts on Tuesdays and Thursdays
FAMILY = frozenset({"G", "PG"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeFilm:
    """A film, as planning needs it."""

    movie_id: UUID
    title: str
    running_minutes: int
    popularity: int
    certificate: str | None
    language: str
    type: str = "film"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeAuditorium:
    """An auditorium, as planning needs it."""

    auditorium_id: UUID
    name: str
    seat_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeTheater:
    """A theater, as planning needs it; `language` is that of its audience."""

    name: str
    time_zone: str
    language: str
    auditoriums: Sequence[ProgrammeAuditorium]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedShow:
    """A film in an auditorium at a time. Times are UTC; at `free_at` the auditorium is clean."""

    auditorium_id: UUID
    movie_id: UUID
    starts_at: datetime
    ends_at: datetime
    free_at: datetime
    language: str
    subtitles: str | None

    def time_range(self) -> TimeRange:
        """When the auditorium is taken."""
        return TimeRange(self.starts_at, self.free_at)


@dataclass(frozen=True, slots=True)
class _Day:
    """One day of a theater. Its times are UTC, because local clocks may change in its night."""

    date: date
    seed: int
    theater: ProgrammeTheater

    def at(self, since_midnight: timedelta) -> datetime:
        local = datetime.combine(self.date, time(), ZoneInfo(self.theater.time_zone))
        return (local + since_midnight).astimezone(UTC)

    def opens(self, index: int) -> datetime:
        opening = OPENS_WEEKEND if self.date.weekday() >= SATURDAY else OPENS_WEEKDAY
        return self.at(_since_midnight(opening) + index * 2 * STEP)

    def prime(self, index: int) -> datetime:
        return self.at(_since_midnight(PRIME) + (index % PRIME_STAGGERS_MAX) * PRIME_STAGGER)


def day_programme(
    theater: ProgrammeTheater,
    films: Iterable[ProgrammeFilm],
    local_date: date,
    seed: int,
    taken: Mapping[UUID, Sequence[TimeRange]] | None = None,
) -> list[PlannedShow]:
    """All shows of a theater on a local date, by auditorium and time.

    Shows that would overlap those of managers (`taken`, by auditorium) are left out.
    """
    day = _Day(local_date, seed, theater)
    line_up = week_line_up(theater, films, local_date, seed)
    if not line_up:
        return []
    shows: list[PlannedShow] = []
    by_size = sorted(theater.auditoriums, key=lambda one: (-one.seat_count, one.name))
    for index, auditorium in enumerate(by_size):
        busy = (taken or {}).get(auditorium.auditorium_id, ())
        planned = _auditorium_day(day, index, auditorium, line_up, shows)
        shows += [s for s in planned if not any(s.time_range().overlaps(b) for b in busy)]
    return shows


def week_line_up(
    theater: ProgrammeTheater, films: Iterable[ProgrammeFilm], day: date, seed: int
) -> list[ProgrammeFilm]:
    """The films that a theater shows from Friday to Thursday, the best known first.

    A weighted random sample without replacement: the weight is the logarithm of the popularity.
    """
    week = (day.toordinal() - 5) // 7
    size = FILMS_PER_AUDITORIUM * len(theater.auditoriums) + 2
    in_order = sorted(films, key=lambda film: (film.title, film.movie_id))

    def sample_key(film: ProgrammeFilm) -> float:
        weight = math.log2(max(film.popularity, POPULARITY_MIN))
        return -math.log(_random(seed, theater.name, week, film.title)) / weight

    events = sorted((film for film in in_order if film.type != "film"), key=sample_key)
    family = sorted((film for film in in_order if _is_family(film)), key=sample_key)
    others = sorted((film for film in in_order if _is_other(film)), key=sample_key)
    family_count = max(size // FAMILY_SHARE, size - len(others))
    sample = family[:family_count] + others[: size - min(family_count, len(family))]
    best_known_first = sorted(sample, key=lambda film: (-film.popularity, film.title))
    return best_known_first + events[: len(EVENT_WEEKDAYS)]


def _is_family(film: ProgrammeFilm) -> bool:
    return film.type == "film" and film.certificate in FAMILY


def _is_other(film: ProgrammeFilm) -> bool:
    return film.type == "film" and film.certificate not in FAMILY


def _auditorium_day(
    day: _Day,
    index: int,
    auditorium: ProgrammeAuditorium,
    line_up: Sequence[ProgrammeFilm],
    elsewhere: Sequence[PlannedShow],
) -> list[PlannedShow]:
    prime = _planned_show(day, auditorium, _headliner(day, index, line_up), day.prime(index))
    films = [film for film in line_up if film.type == "film"]
    shown = Counter(show.movie_id for show in (*elsewhere, prime))
    before = _fill(day, auditorium, films, shown, (day.opens(index), prime.starts_at))
    shown.update(show.movie_id for show in before)
    after = _fill(day, auditorium, films, shown, (prime.free_at, day.at(CLOSES)))
    return [*before, prime, *after]


def _headliner(day: _Day, index: int, line_up: Sequence[ProgrammeFilm]) -> ProgrammeFilm:
    """The best known film for the biggest auditorium; the second one has events on their days."""
    events = [film for film in line_up if film.type != "film"]
    if events and index == 1 and day.date.weekday() in EVENT_WEEKDAYS:
        return events[EVENT_WEEKDAYS.index(day.date.weekday()) % len(events)]
    films = [film for film in line_up if _is_other(film)] or line_up
    return films[index % len(films)]


def _fill(
    day: _Day,
    auditorium: ProgrammeAuditorium,
    films: Sequence[ProgrammeFilm],
    shown: Counter[UUID],
    opening: tuple[datetime, datetime],
) -> list[PlannedShow]:
    """Shows one after the other, each the first in rank that ends in time."""
    opens, until = opening
    shows: list[PlannedShow] = []
    start = _round_up(opens)
    while start <= day.at(LAST_START) and len(shows) < SHOWS_PER_AUDITORIUM_MAX:
        so_far = shown + Counter(show.movie_id for show in shows)
        ranked = _rank(day, auditorium, films, so_far, start)
        choices = [_planned_show(day, auditorium, film, start) for film in ranked]
        fitting = next((show for show in choices if show.free_at <= until), None)
        if fitting is None:
            break
        shows.append(fitting)
        start = _round_up(fitting.free_at)
    return shows


def _rank(
    day: _Day,
    auditorium: ProgrammeAuditorium,
    films: Sequence[ProgrammeFilm],
    shown: Counter[UUID],
    start: datetime,
) -> list[ProgrammeFilm]:
    """Films with the fewest shows first, family films preferred by day; a random number decides
    between equals."""
    is_family_time = start < day.at(FAMILY_UNTIL)

    def rank(film: ProgrammeFilm) -> tuple[int, float]:
        is_wrong_hour = (film.certificate in FAMILY) != is_family_time
        number = _random(day.seed, day.date, auditorium.name, start, film.title)
        return shown[film.movie_id] + WRONG_HOUR_COST * is_wrong_hour, number

    return sorted(films, key=rank)


def _planned_show(
    day: _Day, auditorium: ProgrammeAuditorium, film: ProgrammeFilm, start: datetime
) -> PlannedShow:
    ends_at = film_end(start, film.running_minutes)
    local = start.astimezone(ZoneInfo(day.theater.time_zone))
    language, subtitles = languages(film, day.theater.language, local)
    return PlannedShow(
        auditorium_id=auditorium.auditorium_id,
        movie_id=film.movie_id,
        starts_at=start,
        ends_at=ends_at,
        free_at=ends_at + CLEANING,
        language=language,
        subtitles=subtitles,
    )


def languages(film: ProgrammeFilm, audience: str, local: datetime) -> tuple[str, str | None]:
    """The languages of sound and subtitles. Family films are dubbed by day, others subtitled."""
    if film.language == audience or film.type != "film":
        return film.language, None
    is_dubbed = audience != "en" and film.certificate in FAMILY and local.hour < PRIME.hour
    return (audience, None) if is_dubbed else (film.language, audience)


def _since_midnight(local: time) -> timedelta:
    return timedelta(hours=local.hour, minutes=local.minute)


def _round_up(instant: datetime) -> datetime:
    """To full five minutes; the offsets of all time zones are multiples of that."""
    rest = timedelta(minutes=instant.minute % 5, seconds=instant.second)
    return instant if not rest else instant + STEP - rest


def _random(*things: object) -> float:
    """A pseudo-random number above 0 and at most 1 that only depends on the arguments."""
    digest = blake2b("|".join(map(str, things)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 1) / 2**64
