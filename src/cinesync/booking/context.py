"""What the routes of one process share: the database, the batchers, the seat maps, the keys."""

from functools import partial

from litestar.di import NamedDependency

from cinesync.booking.held_limits.client_digests import ClientDigests
from cinesync.booking.hold_batches import HoldBatches
from cinesync.booking.model import Terms
from cinesync.booking.seatmap.availability import Availability
from cinesync.booking.seatmap.hub import PER_ADDRESS_MAX, SeatMapHub
from cinesync.booking.seatmap.snapshots import load_snapshot
from cinesync.booking.shows.cache import ShowCache
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis.database import Database
from cinesync.chassis.health import Intake


class BookingContext:
    """Everything of one process that outlives a request."""

    def __init__(
        self,
        db: Database,
        terms: Terms,
        signer: TicketSigner,
        clients: ClientDigests,
        subscribers_max: int,
        subscribers_per_address_max: int = PER_ADDRESS_MAX,
    ) -> None:
        self.db = db
        self.terms = terms
        self.signer = signer
        self.clients = clients
        self.intake = Intake()
        self.show_cache = ShowCache()
        self.hub = SeatMapHub(
            partial(load_snapshot, db, self.show_cache),
            subscribers_max=subscribers_max,
            subscribers_per_address_max=subscribers_per_address_max,
        )
        self.availability = Availability(db, self.hub, self.show_cache, terms)
        self.holds = HoldBatches(db, terms, self.show_cache, self.hub)


InjectedContext = NamedDependency[BookingContext]
