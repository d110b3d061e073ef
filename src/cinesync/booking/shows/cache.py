"""Caches what cannot become stale: seating plans by layout, and shows by revision."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cachetools import LRUCache
from msgspec.structs import replace

from cinesync.booking.allocation import seating
from cinesync.booking.allocation.seating import SeatingPlan
from cinesync.booking.model import Show
from cinesync.booking.seat_store import Sale
from cinesync.booking.shows import store
from cinesync.chassis.database import Transaction

PLANS_MAX: Final = 500
SHOWS_MAX: Final = 10_000  # some 15 MB


class ShowCache:
    """One per process."""

    def __init__(self) -> None:
        self._plans: LRUCache[UUID, SeatingPlan] = LRUCache(PLANS_MAX)
        self._shows: LRUCache[UUID, Show] = LRUCache(SHOWS_MAX)

    async def plan(self, tx: Transaction, layout_id: UUID) -> SeatingPlan:
        """The seating plan of a layout."""
        plan = self._plans.get(layout_id)
        if plan is None:
            plan = self._plans[layout_id] = seating.arrange(await store.find_seats(tx, layout_id))
        return plan

    async def shows(self, tx: Transaction, sales: Sequence[Sale]) -> dict[UUID, Show]:
        """The show of each sale, read again if its revision is not the cached one."""
        found = {sale.show_id: show for sale in sales if (show := self._cached(sale))}
        if len(found) < len(sales):
            unknown = [sale.show_id for sale in sales if sale.show_id not in found]
            found |= await store.find_shows(tx, unknown)
            for show_id in unknown:
                self._shows[show_id] = found[show_id]
        return found

    def _cached(self, sale: Sale) -> Show | None:
        show = self._shows.get(sale.show_id)
        if show is None or (show.revision, show.cancelled) != (sale.revision, sale.cancelled):
            return None
        return replace(show, read_at=sale.read_at)
