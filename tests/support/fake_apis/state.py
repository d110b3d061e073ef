"""What the fake APIs store: two theaters, eight movies, three days of shows."""

from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from cinesync.chassis import clock

LONDON, TOKYO = "Europe/London", "Asia/Tokyo"
HOLD = timedelta(minutes=10)
PASSWORD = "popcorn-and-a-movie"
EMAIL = "demo@cinesync.example"
TITLES = (
    ("Casablanca", "Drama", "PG", 102),
    ("The Third Man", "Thriller/Suspense", "PG", 93),
    ("Metropolis", "Drama", "Not Rated", 153),
    ("Duck Soup", "Comedy", "G", 68),
    ("Seven Samurai", "Action", "Not Rated", 207),
    ("Paris, Texas", "Drama", "R", 147),
    ("Playtime", "Comedy", "G", 124),
    ("Alien", "Horror", "R", 117),
)


def id_of(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, name))


MOVIE = id_of("Casablanca")
THEATER = id_of("Phoenix")
SHOW = id_of("show 0 0")
ROUND_SHOW = id_of("show 1 0")


class Refused(Exception):
    """Becomes a problem response."""

    def __init__(self, status: int, title: str, **members: Any) -> None:
        super().__init__(title)
        self.status = status
        self.body = {"status": status, "title": title, "type": "/problems/x"} | members


@dataclass
class FakeApis:
    """The state of all fake APIs, and switches that make them fail."""

    movies: list[dict[str, Any]] = field(default_factory=list)
    theaters: list[dict[str, Any]] = field(default_factory=list)
    shows: dict[str, dict[str, Any]] = field(default_factory=dict)
    layouts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    refresh_tokens: dict[str, str] = field(default_factory=dict)
    devices: list[str | None] = field(default_factory=list)
    links: dict[str, str] = field(default_factory=dict)
    unfinished: list[dict[str, str]] = field(default_factory=list)
    bookings: dict[str, dict[str, Any]] = field(default_factory=dict)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)  # by payment
    keys: dict[str, str] = field(default_factory=dict)
    taken: dict[str, dict[str, str]] = field(default_factory=dict)
    faults: dict[str, Refused] = field(default_factory=dict)
    garbled: set[str] = field(default_factory=set)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)  # of every response
    seat_map_changes: dict[str, Any] = field(default_factory=dict)
    version: int = 1
    expires_in: int = 900
    bank_url: str = "http://bank.example/confirm"
    provider: str = "sandbox"
    bank_answers: bool = False  # a pending payment succeeds at the second look
    clock_ahead: timedelta = timedelta()  # how far booking's clock is ahead of the pages'

    def fail(self, path: str, status: int, title: str = "Not today.", **members: Any) -> None:
        """Refuse requests whose path (or method and path) begins with this."""
        self.faults[path] = Refused(status, title, **members)

    def sent(self, path: str) -> list[dict[str, Any]]:
        return [one for one in self.requests if one["path"] == path]


def create_apis() -> FakeApis:
    apis = FakeApis()
    for title, genre, certificate, minutes in TITLES:
        apis.movies.append(
            {
                "movie_id": id_of(title),
                "title": title,
                "type": "film",
                "genre": genre,
                "language": "en",
                "certificate": certificate,
                "running_minutes": minutes,
                "release_date": "1942-11-26",
                "director": "Michael Curtiz",
                "distributor": None,
                "source": None,
                "creative_type": None,
                "tomatoes_percent": None,
                "imdb_rating": 7.9,
                "imdb_votes": 1_000,
                "popularity": 10,
            }
        )
    for name, city, zone, currency in (
        ("Phoenix", "London", LONDON, "GBP"),
        ("Shibuya Screen", "Tokyo", TOKYO, "JPY"),
    ):
        apis.theaters.append(
            {
                "theater_id": id_of(name),
                "name": name,
                "city": city,
                "country": "GB" if city == "London" else "JP",
                "region": "local",
                "address": "1 High Street",
                "day_starts": "06:00",
                "auditorium_count": 1,
                "seat_count": 60,
                "time_zone": zone,
                "currency": currency,
            }
        )
    for number, theater in enumerate(apis.theaters):
        _schedule(apis, number, theater)
    apis.people[EMAIL] = {"email": EMAIL, "name": "Demo", "password": PASSWORD, "phone": None}
    return apis


def _schedule(apis: FakeApis, number: int, theater: dict[str, Any]) -> None:
    zone = ZoneInfo(theater["time_zone"])
    first = (clock.now() + timedelta(days=1)).astimezone(zone).replace(hour=18, minute=30, second=0)
    for day in range(3):
        for slot, movie in enumerate(apis.movies):
            show_id = id_of(f"show {number} {day * len(apis.movies) + slot}")
            starts = first + timedelta(days=day, minutes=45 * slot)
            layout = _curved_layout() if number else _square_layout()
            apis.layouts[show_id] = layout
            apis.taken[show_id] = {"A1": "booked", "A2": "booked", "B3": "held"}
            apis.shows[show_id] = {
                "show_id": show_id,
                "movie_id": movie["movie_id"],
                "movie_title": movie["title"],
                "theater_id": theater["theater_id"],
                "theater_name": theater["name"],
                "auditorium_name": "IMAX" if number else "Screen 1",
                "city": theater["city"],
                "time_zone": theater["time_zone"],
                "starts_at": starts.astimezone(UTC).isoformat(),
                "ends_at": (starts + timedelta(hours=2)).astimezone(UTC).isoformat(),
                "format": "IMAX" if number else "2D",
                "language": "en",
                "currency": theater["currency"],
                "price_from_cents": 950,
                "seats_left": 0 if slot == 7 else len(layout) - 3,
                "status": "cancelled" if slot == 6 else "scheduled",
                "region": "local",
                "movie_type": "film",
                "certificate": movie["certificate"],
                "running_minutes": movie["running_minutes"],
                "auditorium_id": id_of(f"auditorium {theater['theater_id']}"),
                "layout_id": id_of("layout"),
                "local_date": starts.date().isoformat(),
                "business_date": starts.date().isoformat(),
                "local_time": f"{starts:%H:%M}",
                "subtitles": None,
                "prices_cents": {seat["zone"]: seat["price_cents"] for seat in layout},
                "seat_count": len(layout),
                "cancel_reason": None,
                "announced_at": None,
                "revision": 1,
                "seats_held": 0,
            }


def _square_layout() -> list[dict[str, Any]]:
    """Six rows of ten, an aisle in the middle; row F is premium, wheelchairs at the end of E."""
    seats = []
    for y, row in enumerate("ABCDEF"):
        for number in range(1, 11):
            kind = {("E", 10): "wheelchair", ("E", 9): "companion"}.get((row, number), "standard")
            premium = row == "F"
            seats.append(
                {
                    "seat": f"{row}{number}",
                    "row": row,
                    "number": number,
                    "zone": "premium" if premium else "standard",
                    "kind": "recliner" if premium else kind,
                    "companion_of": "E10" if kind == "companion" else None,
                    "x": float(number + (number > 5)),
                    "y": float(y),
                    "price_cents": 1650 if premium else 1250,
                }
            )
    return seats


def _curved_layout() -> list[dict[str, Any]]:
    """Fourteen curved rows of thirty with two aisles."""
    seats = []
    for y in range(14):
        row = "ABCDEFGHJKLMNP"[y]
        zone = "front" if y < 4 else "premium" if 8 <= y < 12 else "standard"
        for number in range(1, 31):
            middle = (number - 15.5) / 15
            seats.append(
                {
                    "seat": f"{row}{number}",
                    "row": row,
                    "number": number,
                    "zone": zone,
                    "kind": "wheelchair" if (row, number) in {("P", 1), ("P", 30)} else "standard",
                    "companion_of": None,
                    "x": number + (number > 8) + (number > 22),
                    "y": y - 1.6 * middle * middle + 2,
                    "price_cents": {"front": 1500, "standard": 1900, "premium": 2400}[zone],
                }
            )
    return seats
