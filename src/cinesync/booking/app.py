"""Settings and wiring of booking, on one screen."""

import asyncio
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import partial
from typing import Annotated

from cinesync.booking import admission_store, held_seats_store, rescheduling, service, show_refunds
from cinesync.booking.client_digests import Clients
from cinesync.booking.context import Shop
from cinesync.booking.event_handlers import HANDLERS
from cinesync.booking.fast_path import fast_paths
from cinesync.booking.metrics import measures
from cinesync.booking.model import Terms
from cinesync.booking.personal_data import personal_data_router
from cinesync.booking.routes import router
from cinesync.booking.staff_routes import staff_router
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis import background, clock, open_files
from cinesync.chassis.background import Loop
from cinesync.chassis.database import Database, open_database
from cinesync.chassis.http.audit_log_api import audit_log_route
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

CONFIRMING = f"booking.{PaymentSuccess.name}"  # the consumer that makes bookings of payments
SWEEP_GRACE_SECONDS = 60
SWEEP_PAUSE_SECONDS = 10
SWEEP_REST_SECONDS = 0.2  # between full batches: after a rush, buyers want the same turns
SWEEP_BATCH_MAX = 200
REFUSED_SCANS_KEPT = timedelta(days=30)
LISTENERS_USUAL = 2_000
MOVES_PAUSE_SECONDS = 2
MOVES_BATCH_MAX = 200
REFUNDS_PAUSE_SECONDS = 2
SHOWS_REFUNDED_MAX = 20  # of them a page each in one turn
# A key that may be replaced for being too short still has to be named here.
FORMER_SECRETS = Secret(bytes_min=16, is_list=True)


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
    release_pause_seconds: Annotated[int, "seats given back count as held for so long"] = 300
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
    terms = Terms(
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
    earlier = [secret for secret in settings.earlier_secret_keys.split(",") if secret]
    signer = TicketSigner(settings.secret_key, earlier)
    clients = Clients(
        ClientAddresses(settings.trusted_proxies, settings.secret_key), settings.secret_key
    )
    listeners_max = open_files.streams_max(settings.live_listeners_max, LISTENERS_USUAL)
    per_address_max = settings.live_listeners_per_address_max
    shop = Shop(db, terms, signer, clients, listeners_max, per_address_max)
    return Service(
        name="booking",
        database=db,
        routes=[
            router(shop),
            staff_router(shop),
            personal_data_router(db),
            audit_log_route("booking", db),
        ],
        migrations="cinesync.booking.migrations",
        handlers=HANDLERS,
        listeners=listeners(shop),
        fast_paths=fast_paths(shop),
        background=[
            Loop("booking.live", shop.live.run),
            Loop("booking.sweep", partial(sweep, db, terms), SWEEP_PAUSE_SECONDS),
            Loop("booking.moves", partial(tell_of_moves, db, terms), MOVES_PAUSE_SECONDS),
            Loop("booking.show_refunds", partial(refund_shows, db), REFUNDS_PAUSE_SECONDS),
        ],
        vital=[CONFIRMING],
        measures=measures(db),
        intake=shop.intake,
        drain=[shop.live.close],
        close=[shop.close],
    )


def listeners(shop: Shop) -> Listeners:
    """What keeps this process's seat maps true."""
    return {
        SeatsHeld: shop.live.seats_held,
        SeatsReleased: shop.live.seats_released,
        BookingConfirmed: shop.live.bookings_confirmed,
        BookingCancelled: shop.live.bookings_cancelled,
        BookingReduced: shop.live.bookings_cancelled,
        ShowChanged: shop.live.shows_changed,
        ShowCancelled: shop.live.shows_changed,
    }


async def sweep(db: Database, terms: Terms) -> None:
    """Tidy up holds that ran out, then their holders, and old refused scans, in bounded batches;
    until cancelled."""
    while True:
        swept = await db.run(service.sweep_run_out, SWEEP_GRACE_SECONDS, SWEEP_BATCH_MAX)
        ended = await db.read(
            held_seats_store.find_ended, terms.release_pause_seconds, SWEEP_BATCH_MAX
        )
        if ended:
            await db.run(held_seats_store.forget, ended)
        before = clock.first_id_of(clock.now() - REFUSED_SCANS_KEPT)
        forgotten = await db.run(admission_store.forget_refused, before, SWEEP_BATCH_MAX)
        background.succeeded()
        is_full = SWEEP_BATCH_MAX in {swept, len(ended), forgotten}
        await asyncio.sleep(SWEEP_REST_SECONDS if is_full else SWEEP_PAUSE_SECONDS)


async def tell_of_moves(db: Database, terms: Terms) -> None:
    """Tell the customers of shows that move, in bounded batches; until cancelled."""
    while True:
        told = await db.run(rescheduling.tell_customers, terms, MOVES_BATCH_MAX)
        background.succeeded()
        await asyncio.sleep(SWEEP_REST_SECONDS if told else MOVES_PAUSE_SECONDS)


async def refund_shows(db: Database) -> None:
    """Go on with shows that staff give back, a page in each transaction; until cancelled."""
    while True:
        begun = await db.read(show_refunds.unfinished, SHOWS_REFUNDED_MAX)
        for command in begun:
            await db.run(show_refunds.refund_show, command)
        background.succeeded()
        await asyncio.sleep(SWEEP_REST_SECONDS if begun else REFUNDS_PAUSE_SECONDS)
