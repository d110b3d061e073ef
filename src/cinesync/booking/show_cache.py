"""What one process keeps of what it read: nothing that could go stale."""

from collections.abc import Sequence
from uuid import UUID

from cachetools import LRUCache
from msgspec.structs import replace

from cinesync.booking import show_store
from cinesync.booking.allocation import seating
from cinesync.booking.allocation.seating import Hall
from cinesync.booking.model import Show
from cinesync.booking.store import Sale
from cinesync.chassis.database import Transaction

HALLS_MAX = 500
SHOWS_MAX = 10_000  # some 15 MB


class Kept:
    """Layouts arranged for choosing, which never change, and shows by their revisions."""

    def __init__(self) -> None:
        self._halls: LRUCache[UUID, Hall] = LRUCache(HALLS_MAX)
        self._shows: LRUCache[UUID, Show] = LRUCache(SHOWS_MAX)

    async def hall(self, tx: Transaction, layout_id: UUID) -> Hall:
        """The hall of a show's layout."""
        hall = self._halls.get(layout_id)
        if hall is None:
            hall = seating.arrange(await show_store.find_seats(tx, layout_id))
            self._halls[layout_id] = hall
        return hall

    async def shows(self, tx: Transaction, sales: Sequence[Sale]) -> dict[UUID, Show]:
        """The show of each sale; read only if it is not, or no longer, the one kept."""
        found = {sale.show_id: show for sale in sales if (show := self._show(sale))}
        if len(found) < len(sales):
            unknown = [sale.show_id for sale in sales if sale.show_id not in found]
            found |= await show_store.find_shows(tx, unknown)
            self._shows.update((show_id, found[show_id]) for show_id in unknown)
        return found

    def _show(self, sale: Sale) -> Show | None:
        show = self._shows.get(sale.show_id)
        if show is None or (show.revision, show.cancelled) != (sale.revision, sale.cancelled):
            return None
        return replace(show, read_at=sale.read_at)
