"""The demo chain: three regions, six cities, nine theaters, thirty auditoriums; invented names."""

from collections.abc import Mapping
from dataclasses import dataclass

from cinesync.movies.model import FORMATS, ZONES, Daypart

PRICE_STEP_CENTS = 50


@dataclass(frozen=True, slots=True)
class DemoAuditorium:
    """An auditorium: its name, floor plan and format."""

    name: str
    floor_plan: str
    format: str = "2D"
    mirrored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoTheater:
    """A theater. `ticket_cents` is the price of a standard seat in the evening, in 2D."""

    region: str
    name: str
    city: str
    country: str
    address: str
    time_zone: str
    currency: str
    language: str
    ticket_cents: int
    auditoriums: tuple[DemoAuditorium, ...]


THEATERS = (
    DemoTheater(
        region="us-east",
        name="Orpheum Lumen",
        city="New York",
        country="US",
        address="214 Meridian Avenue",
        time_zone="America/New_York",
        currency="USD",
        language="en",
        ticket_cents=1700,
        auditoriums=(
            DemoAuditorium("Meridian IMAX", "imax_grand", "IMAX"),
            DemoAuditorium("Hall 2", "stadium", "Atmos"),
            DemoAuditorium("Hall 3", "multiplex", "3D"),
            DemoAuditorium("The Lounge", "vip_pairs"),
        ),
    ),
    DemoTheater(
        region="us-east",
        name="Foundry Picture House",
        city="New York",
        country="US",
        address="9 Ironworks Street",
        time_zone="America/New_York",
        currency="USD",
        language="en",
        ticket_cents=1500,
        auditoriums=(
            DemoAuditorium("Furnace", "pillars"),
            DemoAuditorium("Kiln", "studio_corner"),
            DemoAuditorium("Rooftop", "rooftop"),
        ),
    ),
    DemoTheater(
        region="us-east",
        name="Harborlight Cinema",
        city="Boston",
        country="US",
        address="77 Tidewater Wharf",
        time_zone="America/New_York",
        currency="USD",
        language="en",
        ticket_cents=1450,
        auditoriums=(
            DemoAuditorium("Screen 1", "classic_aisle", "Atmos"),
            DemoAuditorium("Screen 2", "fan"),
            DemoAuditorium("Screen 3", "corridor"),
        ),
    ),
    DemoTheater(
        region="eu-west",
        name="Regent Arcadia",
        city="London",
        country="GB",
        address="40 Kingfisher Row",
        time_zone="Europe/London",
        currency="GBP",
        language="en",
        ticket_cents=1400,
        auditoriums=(
            DemoAuditorium("Arcadia IMAX", "imax_compact", "IMAX"),
            DemoAuditorium("The Grand", "balcony", "Atmos"),
            DemoAuditorium("The Studio", "studio_corner", mirrored=True),
            DemoAuditorium("The Snug", "sofas"),
        ),
    ),
    DemoTheater(
        region="eu-west",
        name="Tannery Lane Pictures",
        city="London",
        country="GB",
        address="3 Tannery Lane",
        time_zone="Europe/London",
        currency="GBP",
        language="en",
        ticket_cents=1200,
        auditoriums=(
            DemoAuditorium("Screen 1", "brick"),
            DemoAuditorium("Screen 2", "diamond"),
            DemoAuditorium("Screen 3", "corridor", mirrored=True),
        ),
    ),
    DemoTheater(
        region="eu-west",
        name="Le Grand Mistral",
        city="Paris",
        country="FR",
        address="18 rue des Projections",
        time_zone="Europe/Paris",
        currency="EUR",
        language="fr",
        ticket_cents=1250,
        auditoriums=(
            DemoAuditorium("Salle Mistral", "balcony", "Atmos", mirrored=True),
            DemoAuditorium("Salle Aurore", "multiplex", "3D"),
            DemoAuditorium("Salle Équerre", "ell"),
            DemoAuditorium("Le Salon", "sofas", mirrored=True),
        ),
    ),
    DemoTheater(
        region="me",
        name="Cinema Yasmine",
        city="Beirut",
        country="LB",
        address="52 Jasmine Steps",
        time_zone="Asia/Beirut",
        currency="USD",
        language="ar",
        ticket_cents=800,
        auditoriums=(
            DemoAuditorium("Hall A", "fan", mirrored=True),
            DemoAuditorium("Hall B", "ell", mirrored=True),
            DemoAuditorium("Terrace", "rooftop", mirrored=True),
        ),
    ),
    DemoTheater(
        region="me",
        name="Mirage Gate",
        city="Dubai",
        country="AE",
        address="Gate 5, Palm Crescent",
        time_zone="Asia/Dubai",
        currency="AED",
        language="ar",
        ticket_cents=4500,
        auditoriums=(
            DemoAuditorium("Mirage IMAX", "imax_grand", "IMAX", mirrored=True),
            DemoAuditorium("Hall 2", "classic_aisle", "Atmos", mirrored=True),
            DemoAuditorium("Hall 3", "pillars", "3D"),
            DemoAuditorium("Majlis", "vip_pairs", mirrored=True),
        ),
    ),
    DemoTheater(
        region="me",
        name="Creekside Screens",
        city="Dubai",
        country="AE",
        address="11 Abra Landing",
        time_zone="Asia/Dubai",
        currency="AED",
        language="ar",
        ticket_cents=3800,
        auditoriums=(
            DemoAuditorium("Hall 1", "brick", mirrored=True),
            DemoAuditorium("Hall 2", "diamond"),
        ),
    ),
)

_ZONE_PERCENT = {
    "front": 80,
    "standard": 100,
    "premium": 125,
    "balcony": 90,
    "sofa": 150,
    "vip": 220,
}
_DAYPART_PERCENT = {
    Daypart.MORNING: 65,
    Daypart.AFTERNOON: 80,
    Daypart.EVENING: 100,
    Daypart.LATE: 90,
}
_FORMAT_PERCENT = {"2D": 100, "3D": 115, "Atmos": 110, "IMAX": 135}


def price_card(ticket_cents: int) -> Mapping[tuple[str, Daypart, str], int]:
    """Minor units for each (format, daypart, zone), rounded to PRICE_STEP_CENTS."""
    return {
        (film_format, part, zone): _rounded(
            ticket_cents
            * _FORMAT_PERCENT[film_format]
            * _DAYPART_PERCENT[part]
            * _ZONE_PERCENT[zone]
        )
        for film_format in FORMATS
        for part in Daypart
        for zone in ZONES
    }


def _rounded(cents_times_million: int) -> int:
    """To the nearest step, in integers: a product of three percentages is in millionths."""
    step = PRICE_STEP_CENTS * 1_000_000
    return (cents_times_million + step // 2) // step * PRICE_STEP_CENTS
