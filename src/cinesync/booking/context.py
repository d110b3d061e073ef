"""What both doors stand in: the database, the batcher of holds, and the live seat maps."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from cinesync.booking import held_seats_store, service, show_store, store
from cinesync.booking.availability import Availability
from cinesync.booking.client_digests import Clients
from cinesync.booking.held_limits import is_near
from cinesync.booking.model import Booking, Choice, HoldSeats, Terms
from cinesync.booking.seat_changes import ChangedHold, ChangeResult, ChangeSeats, change_seats
from cinesync.booking.seatmap.hub import PER_ADDRESS_MAX, Live
from cinesync.booking.seatmap.state import Snapshot, Taken
from cinesync.booking.service import Held, HoldResult, NothingHeld
from cinesync.booking.show_cache import Kept
from cinesync.booking.tickets import TicketSigner
from cinesync.chassis.batcher import Batcher
from cinesync.chassis.database import Database, Transaction
from cinesync.chassis.health import Intake

RUSH_WISHES = 10  # for one show in one batch: more will come, and most of them too late


class Shop:
    """Everything of one process that outlives a request."""

    def __init__(
        self,
        db: Database,
        terms: Terms,
        signer: TicketSigner,
        clients: Clients,
        listeners_max: int,
        listeners_per_address_max: int = PER_ADDRESS_MAX,
    ) -> None:
        self.db = db
        self.terms = terms
        self.signer = signer
        self.intake = Intake()
        self.clients = clients
        self.kept = Kept()
        self.live = Live(
            self._load,
            listeners_max=listeners_max,
            listeners_per_address_max=listeners_per_address_max,
        )
        self.availability = Availability(db, self.live, self.kept, terms)
        self._holds: Batcher[HoldSeats, Held] = Batcher("booking.holds", self._hold)
        self._changes: Batcher[ChangeSeats, ChangedHold] = Batcher(
            "booking.seat_changes", self._change
        )

    def check(self, show_id: UUID, choice: Choice) -> None:
        """Raises BookingError for a choice that is known not to be there."""
        refusal = self.live.refusal(show_id, choice)
        if refusal is not None:
            raise refusal.with_traceback(None)  # it would grow with each telling

    async def hold(self, wish: HoldSeats) -> Held:
        """Seats. Raises BookingError, Overloaded."""
        return await self._holds.submit(wish)

    async def change_seats(self, change: ChangeSeats) -> Booking:
        """Other seats for a hold. Raises BookingError, Overloaded."""
        return (await self._changes.submit(change)).booking

    async def close(self) -> None:
        """Answer who waits."""
        await self._holds.close()
        await self._changes.close()

    async def _hold(self, holds: Sequence[HoldSeats]) -> Sequence[HoldResult]:
        """What became known while they waited needs no transaction."""
        known = [self.live.refusal(hold.show_id, hold.choice) for hold in holds]
        open_ones = [hold for hold, why in zip(holds, known, strict=True) if why is None]
        results = iter(await self._ask(open_ones) if open_ones else ())
        return [next(results) if why is None else why for why in known]

    async def _ask(self, holds: Sequence[HoldSeats]) -> Sequence[HoldResult]:
        """One transaction; who looks at this process's seat map sees the outcome at once, and so
        do those who wait for the next one.
        """
        wanted = Counter(hold.show_id for hold in holds)
        self.live.expect(show_id for show_id, wishes in wanted.items() if wishes >= RUSH_WISHES)
        versions = self.live.versions(wanted)
        results: Sequence[HoldResult]
        try:
            kept = await self.db.run_one(held_seats_store.kept_by, holds, self.terms)
            counts = is_near(holds, kept, self.terms)
            results = await self.db.run(
                service.hold_seats, holds, self.kept, self.terms, counts_held=counts
            )
        except NothingHeld as refused:
            results = refused.results
        self.live.seats_held([result.event for result in results if isinstance(result, Held)])
        for hold, result in zip(holds, results, strict=True):
            self.live.refused(hold, result, versions.get(hold.show_id))
        return results

    async def _change(self, changes: Sequence[ChangeSeats]) -> Sequence[ChangeResult]:
        results: Sequence[ChangeResult]
        try:
            results = await self.db.run(change_seats, changes, self.kept, self.terms)
        except NothingHeld as refused:
            results = refused.results
        changed = [result for result in results if isinstance(result, ChangedHold)]
        self.live.seats_held([one.held for one in changed])
        self.live.seats_released([one.released for one in changed if one.released is not None])
        return results

    async def _load(self, show_id: UUID) -> Snapshot | None:
        return await self.db.read(self._snapshot, show_id)

    async def _snapshot(self, tx: Transaction, show_id: UUID) -> Snapshot | None:
        show = (await show_store.find_shows(tx, [show_id])).get(show_id)
        if show is None:
            return None
        hall = await self.kept.hall(tx, show.layout_id)
        taken = {
            seat.seat: Taken(seat.booking_id, None if seat.is_booked else seat.held_until)
            for seat in await store.taken_seats(tx, [(show.region, show_id)])
        }
        return Snapshot(show, hall, taken)
