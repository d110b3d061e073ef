"""Runs holds in batches: from a command to the transaction that holds its seats.

A commit costs the same for one hold as for a hundred, so commands that arrive while a transaction
runs wait and go into the next one together (`chassis.batcher`). One batch takes these steps:

1. Refuse without a transaction what the live seat map is known to refuse: during a rush most
   commands ask for seats that are gone (`SeatMapHub.refusal`).
2. Sum up the unpaid seats of the batch's e-mails and addresses in one statement of its own. Only
   when a sum is near a limit does the transaction count exactly (`held_limits.rules`).
3. Run `service.hold_seats`: it reads once, decides in memory in arrival order, claims the rows of
   all allocations with one statement, and inserts the holds with another. A batch of which every
   command is refused raises BatchRefused, so that there is nothing to commit.
4. Apply the new holds to this process's seat map before answering: its subscribers see them at
   once, and other processes get them from the bus. Remember the refusals for step 1, each with the
   version of the seat map from before the transaction: a seat that came free meanwhile makes them
   void.

Step 1 is repeated for each command right before its batch runs, since others may have taken the
seats while it waited.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cinesync.booking import seat_changes, service
from cinesync.booking.held_limits import store as held_limits_store
from cinesync.booking.held_limits.rules import is_near
from cinesync.booking.model import Booking, HoldSeats, SeatSelection, Terms
from cinesync.booking.seat_changes import ChangedHold, ChangeResult, ChangeSeats
from cinesync.booking.seatmap.hub import SeatMapHub
from cinesync.booking.service import BatchRefused, Held, HoldResult
from cinesync.booking.shows.cache import ShowCache
from cinesync.chassis.batcher import Batcher
from cinesync.chassis.database import Database

# Commands for one show in one batch from which its seat map is loaded: more will come, and most of
# them too late.
RUSH_COMMANDS: Final = 10


class HoldBatches:
    """The batchers of one process, for new holds and for changes of their seats."""

    def __init__(self, db: Database, terms: Terms, show_cache: ShowCache, hub: SeatMapHub) -> None:
        self._db = db
        self._terms = terms
        self._show_cache = show_cache
        self._hub = hub
        self._holds: Batcher[HoldSeats, Held] = Batcher("booking.holds", self._hold)
        self._changes: Batcher[ChangeSeats, ChangedHold] = Batcher(
            "booking.seat_changes", self._change
        )

    def check(self, show_id: UUID, selection: SeatSelection) -> None:
        """Raises BookingError for a selection that the live seat map is known to refuse."""
        refusal = self._hub.refusal(show_id, selection)
        if refusal is not None:
            raise refusal.with_traceback(None)  # the traceback would grow with each raise

    async def hold(self, command: HoldSeats) -> Held:
        """Raises BookingError, Overloaded."""
        return await self._holds.submit(command)

    async def change_seats(self, command: ChangeSeats) -> Booking:
        """The hold with its new seats. Raises BookingError, Overloaded."""
        return (await self._changes.submit(command)).booking

    async def close(self) -> None:
        """Run what waits, and take nothing new."""
        await self._holds.close()
        await self._changes.close()

    async def _hold(self, holds: Sequence[HoldSeats]) -> Sequence[HoldResult]:
        refusals = [self._hub.refusal(hold.show_id, hold.selection) for hold in holds]
        open_holds = [hold for hold, why in zip(holds, refusals, strict=True) if why is None]
        results = iter(await self._hold_in_database(open_holds) if open_holds else ())
        return [next(results) if refusal is None else refusal for refusal in refusals]

    async def _hold_in_database(self, holds: Sequence[HoldSeats]) -> Sequence[HoldResult]:
        commands_of = Counter(hold.show_id for hold in holds)
        self._hub.preload(show for show, count in commands_of.items() if count >= RUSH_COMMANDS)
        versions = self._hub.versions(commands_of)
        results: Sequence[HoldResult]
        try:
            counted = await self._db.run_one(held_limits_store.sum_held_seats, holds, self._terms)
            results = await self._db.run(
                service.hold_seats,
                holds,
                self._show_cache,
                self._terms,
                near_limit=is_near(holds, counted, self._terms),
            )
        except BatchRefused as refused:
            results = refused.results
        self._hub.seats_held([result.event for result in results if isinstance(result, Held)])
        for hold, result in zip(holds, results, strict=True):
            self._hub.note_refusal(hold, result, versions.get(hold.show_id))
        return results

    async def _change(self, changes: Sequence[ChangeSeats]) -> Sequence[ChangeResult]:
        results: Sequence[ChangeResult]
        try:
            results = await self._db.run(
                seat_changes.change_seats, changes, self._show_cache, self._terms
            )
        except BatchRefused as refused:
            results = refused.results
        changed = [result for result in results if isinstance(result, ChangedHold)]
        self._hub.seats_held([one.held for one in changed])
        self._hub.seats_released([one.released for one in changed if one.released is not None])
        return results
