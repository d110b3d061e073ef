"""What runs where and when: the day of a theater, decided by a seed number and the date. Pure.

The best film of the week fills the biggest room in prime time; family films run by day; nothing
starts before the room is clean. The same arguments always give the same day.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import blake2b
from uuid import UUID
from zoneinfo import ZoneInfo

from cinesync.movies.model import CLEANING, TimeRange, ends_at

STEP = timedelta(minutes=5)
OPENS_WEEKDAY = time(11, 30)
OPENS_WEEKEND = time(10, 0)
PRIME = time(19, 0)
PRIME_STAGGER = timedelta(minutes=15)  # so that not every audience leaves at once
PRIME_STAGGERS_MAX = 6
LAST_START = timedelta(hours=23, minutes=15)  # since local midnight
CLOSES = timedelta(hours=26, minutes=30)
FAMILY_UNTIL = timedelta(hours=16)
FILMS_PER_SCREEN = 2
FAME_MIN = 1_000  # whom nobody counted is not unknown
FAMILY_SHARE = 3  # every third film of a week is for families
WRONG_HOUR_COSTS = 2  # shows by which a film must be behind to be shown at the other one's hour
SHOWS_PER_SCREEN_MAX = 12
SATURDAY = 5
EVENT_WEEKDAYS = (1, 3)  # live broadcasts and concerts on Tuesdays and Thursdays
FAMILY = frozenset({"G", "PG"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeFilm:
    """What planning needs to know of a movie."""

    movie_id: UUID
    title: str
    running_minutes: int
    popularity: int
    certificate: str | None
    language: str
    type: str = "film"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeAuditorium:
    """An auditorium, as planning sees it."""

    auditorium_id: UUID
    name: str
    seat_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgrammeTheater:
    """A theater: its screens, the time on its clocks, the language of its audience."""

    name: str
    time_zone: str
    language: str
    screens: Sequence[ProgrammeAuditorium]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A film in a room at a time. Times are UTC; `free_at` is when the room is clean."""

    auditorium_id: UUID
    movie_id: UUID
    starts_at: datetime
    ends_at: datetime
    free_at: datetime
    language: str
    subtitles: str | None

    def interval(self) -> TimeRange:
        """When the room is taken."""
        return TimeRange(self.starts_at, self.free_at)


@dataclass(frozen=True, slots=True)
class _Day:
    """The moments of one day in a theater, in UTC: clocks may jump in its night."""

    date: date
    seed: int
    site: ProgrammeTheater

    def at(self, since_midnight: timedelta) -> datetime:
        local = datetime.combine(self.date, time(), ZoneInfo(self.site.time_zone))
        return (local + since_midnight).astimezone(UTC)

    def opens(self, screen_index: int) -> datetime:
        opening = OPENS_WEEKEND if self.date.weekday() >= SATURDAY else OPENS_WEEKDAY
        return self.at(_since_midnight(opening) + screen_index * 2 * STEP)

    def prime(self, screen_index: int) -> datetime:
        return self.at(_since_midnight(PRIME) + (screen_index % PRIME_STAGGERS_MAX) * PRIME_STAGGER)


def day_programme(
    site: ProgrammeTheater,
    films: Iterable[ProgrammeFilm],
    day: date,
    seed: int,
    taken: Mapping[UUID, Sequence[TimeRange]] | None = None,
) -> list[Planned]:
    """All shows of a theater on a local date, by screen and time.

    What managers planned already (`taken`, by auditorium) stays; what would collide is left out.
    """
    moments = _Day(day, seed, site)
    line_up = week_line_up(site, films, day, seed)
    if not line_up:
        return []
    screens = sorted(site.screens, key=lambda screen: (-screen.seat_count, screen.name))
    shows: list[Planned] = []
    for index, screen in enumerate(screens):
        busy = (taken or {}).get(screen.auditorium_id, ())
        planned = _screen_day(moments, index, screen, line_up, shows)
        shows += [s for s in planned if not any(s.interval().overlaps(b) for b in busy)]
    return shows


def week_line_up(
    site: ProgrammeTheater, films: Iterable[ProgrammeFilm], day: date, seed: int
) -> list[ProgrammeFilm]:
    """The films that a theater shows from Friday to Thursday, best known first.

    A draw without repeats in which a better known film has more lots.
    """
    week = (day.toordinal() - 5) // 7
    size = FILMS_PER_SCREEN * len(site.screens) + 2
    known = sorted(films, key=lambda film: (film.title, film.movie_id))

    def lot(film: ProgrammeFilm) -> float:
        weight = math.log2(max(film.popularity, FAME_MIN))
        return -math.log(_chance(seed, site.name, week, film.title)) / weight

    events = sorted((film for film in known if film.type != "film"), key=lot)
    family = sorted((film for film in known if _is_family(film)), key=lot)
    others = sorted((film for film in known if _is_other(film)), key=lot)
    family_count = max(size // FAMILY_SHARE, size - len(others))
    films_drawn = family[:family_count] + others[: size - min(family_count, len(family))]
    by_fame = sorted(films_drawn, key=lambda film: (-film.popularity, film.title))
    return by_fame + events[: len(EVENT_WEEKDAYS)]


def _is_family(film: ProgrammeFilm) -> bool:
    return film.type == "film" and film.certificate in FAMILY


def _is_other(film: ProgrammeFilm) -> bool:
    return film.type == "film" and film.certificate not in FAMILY


def _screen_day(
    day: _Day,
    index: int,
    screen: ProgrammeAuditorium,
    line_up: Sequence[ProgrammeFilm],
    elsewhere: Sequence[Planned],
) -> list[Planned]:
    prime = _planned(day, screen, _headliner(day, index, line_up), day.prime(index))
    films = [film for film in line_up if film.type == "film"]
    shown = Counter(show.movie_id for show in (*elsewhere, prime))
    before = _filled(day, screen, films, shown, (day.opens(index), prime.starts_at))
    shown.update(show.movie_id for show in before)
    after = _filled(day, screen, films, shown, (prime.free_at, day.at(CLOSES)))
    return [*before, prime, *after]


def _headliner(day: _Day, index: int, line_up: Sequence[ProgrammeFilm]) -> ProgrammeFilm:
    """The biggest room has the best known film; the second one has the event on event days."""
    events = [film for film in line_up if film.type != "film"]
    if events and index == 1 and day.date.weekday() in EVENT_WEEKDAYS:
        return events[EVENT_WEEKDAYS.index(day.date.weekday()) % len(events)]
    films = [film for film in line_up if _is_other(film)] or line_up
    return films[index % len(films)]


def _filled(
    day: _Day,
    screen: ProgrammeAuditorium,
    films: Sequence[ProgrammeFilm],
    shown: Counter[UUID],
    opening: tuple[datetime, datetime],
) -> list[Planned]:
    """One show after the other, each the best choice that still ends in time."""
    opens, until = opening
    shows: list[Planned] = []
    start = _on_the_step(opens)
    while start <= day.at(LAST_START) and len(shows) < SHOWS_PER_SCREEN_MAX:
        so_far = shown + Counter(show.movie_id for show in shows)
        ranked = _ranked(day, screen, films, so_far, start)
        choices = [_planned(day, screen, film, start) for film in ranked]
        fitting = next((show for show in choices if show.free_at <= until), None)
        if fitting is None:
            break
        shows.append(fitting)
        start = _on_the_step(fitting.free_at)
    return shows


def _ranked(
    day: _Day,
    screen: ProgrammeAuditorium,
    films: Sequence[ProgrammeFilm],
    shown: Counter[UUID],
    start: datetime,
) -> list[ProgrammeFilm]:
    """What ran least today first, family films rather by day; among equals chance decides."""
    is_family_time = start < day.at(FAMILY_UNTIL)

    def rank(film: ProgrammeFilm) -> tuple[int, float]:
        is_wrong_hour = (film.certificate in FAMILY) != is_family_time
        chance = _chance(day.seed, day.date, screen.name, start, film.title)
        return shown[film.movie_id] + WRONG_HOUR_COSTS * is_wrong_hour, chance

    return sorted(films, key=rank)


def _planned(
    day: _Day, screen: ProgrammeAuditorium, film: ProgrammeFilm, start: datetime
) -> Planned:
    ends = ends_at(start, film.running_minutes)
    local = start.astimezone(ZoneInfo(day.site.time_zone))
    language, subtitles = voiced(film, day.site.language, local)
    return Planned(
        auditorium_id=screen.auditorium_id,
        movie_id=film.movie_id,
        starts_at=start,
        ends_at=ends,
        free_at=ends + CLEANING,
        language=language,
        subtitles=subtitles,
    )


def voiced(film: ProgrammeFilm, audience: str, local: datetime) -> tuple[str, str | None]:
    """The language heard and the subtitles: families hear their own, others the film's."""
    if film.language == audience or film.type != "film":
        return film.language, None
    is_dubbed = audience != "en" and film.certificate in FAMILY and local.hour < PRIME.hour
    return (audience, None) if is_dubbed else (film.language, audience)


def _since_midnight(moment: time) -> timedelta:
    return timedelta(hours=moment.hour, minutes=moment.minute)


def _on_the_step(moment: datetime) -> datetime:
    """The next time that ends in 0 or 5; every time zone's offset is a multiple of that."""
    late = timedelta(minutes=moment.minute % 5, seconds=moment.second)
    return moment if not late else moment + STEP - late


def _chance(*things: object) -> float:
    """A number above 0 and at most 1 that depends on nothing but its arguments."""
    digest = blake2b("|".join(map(str, things)).encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") + 1) / 2**64
