"""Settings and wiring of the movies service."""

from dataclasses import dataclass
from typing import Annotated

from cinesync.chassis.database import open_database
from cinesync.chassis.http.audit_log_api import audit_log_route
from cinesync.chassis.http.client import HttpClient
from cinesync.chassis.process import Service
from cinesync.movies.event_handlers import HANDLERS
from cinesync.movies.routes import router
from cinesync.movies.seats_left import TIMEOUT_SECONDS, SeatsLeft


@dataclass(frozen=True, slots=True)
class Settings:
    """What the movies service reads from the environment."""

    database_url: Annotated[str, "PostgreSQL or CockroachDB, the service's own database"]
    booking_url: Annotated[
        str, "base URL of the booking service, which counts seats left; empty: none is used"
    ] = ""


def create(settings: Settings) -> Service:
    """The service, not started."""
    db = open_database(settings.database_url, application="cinesync-movies")
    booking = HttpClient(settings.booking_url, TIMEOUT_SECONDS) if settings.booking_url else None
    seats_left = SeatsLeft(booking)
    return Service(
        name="movies",
        database=db,
        routes=[router(db, seats_left), audit_log_route("movies", db)],
        migrations="cinesync.movies.migrations",
        handlers=HANDLERS,
        close=[seats_left.close],
    )
