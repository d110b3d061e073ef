"""How many seats of shows can be bought now, for lists of shows.

A show whose live seat map is in memory is counted there. The others are counted in the database,
all of a request in one statement, and cached for COUNTED_SECONDS.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
from cachetools import TTLCache

from cinesync.booking import seat_store
from cinesync.booking.allocation.seating import SeatingPlan
from cinesync.booking.model import Show, Terms
from cinesync.booking.seatmap.hub import SeatMapHub
from cinesync.booking.seatmap.state import SeatMapState
from cinesync.booking.shows.cache import ShowCache
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction

COUNTED_SECONDS: Final = 2.0
SHOWS_COUNTED_MAX: Final = 20_000


class ShowAvailability(msgspec.Struct, frozen=True):
    """Of `seat_count` seats on sale, `seats_left` can be bought now; `seats_held` are held."""

    show_id: UUID
    seat_count: int
    seats_left: int
    seats_held: int


class Availability:
    """One per process."""

    def __init__(self, db: Database, hub: SeatMapHub, show_cache: ShowCache, terms: Terms) -> None:
        self._db = db
        self._hub = hub
        self._show_cache = show_cache
        self._terms = terms
        self._counting = asyncio.Lock()
        self._counted: TTLCache[UUID, ShowAvailability] = TTLCache(
            SHOWS_COUNTED_MAX, COUNTED_SECONDS, timer=clock.monotonic_seconds
        )

    async def of(self, show_ids: Sequence[UUID]) -> list[ShowAvailability]:
        """One for each known show, in the order of `show_ids`."""
        known = self._known(show_ids)
        if any(show_id not in known for show_id in show_ids):
            async with self._counting:
                known = self._known(show_ids)  # another request may have counted them meanwhile
                missing = [show_id for show_id in show_ids if show_id not in known]
                if missing:
                    known |= await self._count(missing)
        return [known[show_id] for show_id in dict.fromkeys(show_ids) if show_id in known]

    def _known(self, show_ids: Iterable[UUID]) -> dict[UUID, ShowAvailability]:
        found: dict[UUID, ShowAvailability] = {}
        for show_id in show_ids:
            counted = self._counted.get(show_id)
            if counted is not None:
                found[show_id] = counted
            elif (state := self._hub.find(show_id)) is not None:
                found[show_id] = self._counted[show_id] = self._of_seat_map(state)
        return found

    def _of_seat_map(self, state: SeatMapState) -> ShowAvailability:
        held = {seat for seat, taken in state.taken.items() if taken.held_until is not None}
        return self._left(state.show, state.plan, state.taken.keys() - held, held)

    async def _count(self, show_ids: Sequence[UUID]) -> Mapping[UUID, ShowAvailability]:
        counted = await self._db.read(self._read, show_ids)
        self._counted.update(counted)
        return counted

    async def _read(
        self, tx: Transaction, show_ids: Sequence[UUID]
    ) -> dict[UUID, ShowAvailability]:
        rows = await seat_store.sales_with_held_seats(tx, show_ids)
        shows = await self._show_cache.shows(tx, [sale for sale, _ in rows])
        left: dict[UUID, ShowAvailability] = {}
        for sale, held in rows:
            show = shows[sale.show_id]
            plan = await self._show_cache.plan(tx, show.layout_id)
            left[sale.show_id] = self._left(show, plan, sale.taken - held, held)
        return left

    def _left(
        self, show: Show, plan: SeatingPlan, booked: Iterable[str], held: Iterable[str]
    ) -> ShowAvailability:
        """Seats of zones without a price are not on sale."""
        unpriced = set(plan.outside(show.prices_cents.keys()))
        seat_count = len(plan.seats) - len(unpriced)
        seats_held = len(set(held) - unpriced)
        is_on_sale = show.refuse_sale(self._terms) is None
        free = seat_count - len(set(booked) - unpriced) - seats_held
        return ShowAvailability(show.show_id, seat_count, max(free, 0) * is_on_sale, seats_held)
