"""Settings and wiring of booking, on one screen."""

from dataclasses import dataclass, fields
from typing import Annotated, Final

from cinesync.booking.context import BookingContext
from cinesync.booking.event_handlers import HANDLERS
from cinesync.booking.held_limits.client_digests import ClientDigests
from cinesync.booking.loops import background_loops
from cinesync.booking.metrics import measures
from cinesync.booking.model import Terms
from cinesync.booking.routes import fast_paths, routers
from cinesync.booking.seatmap.hub import SeatMapHub
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis import open_files
from cinesync.chassis.database import open_database
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.messaging.bus import Listeners
from cinesync.chassis.process import Service
from cinesync.chassis.settings import Secret, SettingsError
from cinesync.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    BookingReduced,
    SeatsHeld,
    SeatsReleased,
)
from cinesync.contracts.movies import ShowCancelled, ShowChanged
from cinesync.contracts.payment import PaymentSuccess

__all__ = ["HANDLERS", "Settings", "create"]

# Without the consumer that confirms bookings, no payment is taken.
CONFIRMING_CONSUMER: Final = f"booking.{PaymentSuccess.name}"
SUBSCRIBERS_USUAL: Final = 2_000
# A key that is replaced because it is too short must still be listed here.
FORMER_SECRETS: Final = Secret(bytes_min=16, is_list=True)


@dataclass(frozen=True, slots=True)
class Settings:
    """What booking reads from the environment."""

    database_url: Annotated[str, "booking's own database"]
    secret_key: Annotated[str, "the secret that the ticket key is derived from", Secret()]
    earlier_secret_keys: Annotated[
        str, "former secrets, by commas: their tickets stay valid", FORMER_SECRETS
    ] = ""
    hold_seconds: Annotated[int, "how long seats are held"] = 600
    hold_extensions_max: Annotated[int, "how often a hold can be extended"] = 2
    held_seats_max: Annotated[int, "unpaid seats that one e-mail can hold at once"] = 20
    held_seats_staff_max: Annotated[int, "the same for one member of staff"] = 1_000
    held_seats_address_max: Annotated[int, "unpaid seats held from one address; staff aside"] = 200
    held_seats_address_show_max: Annotated[int, "the same of one show"] = 60
    release_pause_seconds: Annotated[int, "released seats count as held for so long"] = 300
    companion_release_minutes: Annotated[
        int, "companion seats are sold without their wheelchair place from then on before a show"
    ] = 60
    trusted_proxies: Annotated[str, "addresses or CIDR blocks whose X-Forwarded-For we read"] = ""
    sales_close_minutes: Annotated[
        int, "minutes after a show's start that sales close; below 0: before it"
    ] = 15
    cancel_minutes_before: Annotated[int, "minutes before a show that cancelling ends"] = 120
    moved_minutes: Annotated[
        int, "minutes by which a show must move to give every customer a refund on request"
    ] = 15
    live_listeners_max: Annotated[
        int, "open seat map streams in one process; 0: 2,000, or half of what open files allow"
    ] = 0
    live_listeners_per_address_max: Annotated[
        int, "of them for one client address; browsers that are refused poll"
    ] = 500

    def __post_init__(self) -> None:
        names = [field.name for field in fields(self) if field.name.startswith("held_seats")]
        if none := [name.upper() for name in names if getattr(self, name) < 1]:
            raise SettingsError(f"{', '.join(none)} must be at least 1")
        if self.release_pause_seconds < 0:
            raise SettingsError("RELEASE_PAUSE_SECONDS must be 0 or more")


def create(settings: Settings) -> Service:
    """The booking service, not started yet."""
    db = open_database(settings.database_url, application="cinesync booking", serialize_writes=True)
    former = [secret for secret in settings.earlier_secret_keys.split(",") if secret]
    addresses = ClientAddresses(settings.trusted_proxies, settings.secret_key)
    context = BookingContext(
        db,
        _terms(settings),
        TicketSigner(settings.secret_key, former),
        ClientDigests(addresses, settings.secret_key),
        open_files.streams_max(settings.live_listeners_max, SUBSCRIBERS_USUAL),
        settings.live_listeners_per_address_max,
    )
    return Service(
        name="booking",
        database=db,
        routes=routers(context),
        migrations="cinesync.booking.migrations",
        handlers=HANDLERS,
        listeners=listeners(context.hub),
        fast_paths=fast_paths(context),
        background=background_loops(context),
        vital=[CONFIRMING_CONSUMER],
        measures=measures(db),
        intake=context.intake,
        drain=[context.hub.close],
        close=[context.holds.close],
    )


def _terms(settings: Settings) -> Terms:
    return Terms(
        hold_seconds=settings.hold_seconds,
        extensions_max=settings.hold_extensions_max,
        held_seats_max=settings.held_seats_max,
        staff_seats_max=settings.held_seats_staff_max,
        address_seats_max=settings.held_seats_address_max,
        address_show_seats_max=settings.held_seats_address_show_max,
        release_pause_seconds=settings.release_pause_seconds,
        companion_release_minutes=settings.companion_release_minutes,
        sales_close_minutes=settings.sales_close_minutes,
        cancel_minutes_before=settings.cancel_minutes_before,
        moved_minutes=settings.moved_minutes,
    )


def listeners(hub: SeatMapHub) -> Listeners:
    """The events that update this process's seat maps."""
    return {
        SeatsHeld: hub.seats_held,
        SeatsReleased: hub.seats_released,
        BookingConfirmed: hub.bookings_confirmed,
        BookingCancelled: hub.bookings_cancelled,
        BookingReduced: hub.bookings_cancelled,
        ShowChanged: hub.shows_changed,
        ShowCancelled: hub.shows_changed,
    }
