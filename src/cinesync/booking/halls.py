"""Layouts arranged for choosing. A layout never changes, so what was read once is kept."""

from collections import OrderedDict
from uuid import UUID

from cinesync.booking import catalog, seating
from cinesync.booking.seating import Hall
from cinesync.chassis.db import Transaction

HALLS_KEPT_MAX = 500


class Halls:
    """A cache of one process; it holds nothing that could go stale."""

    def __init__(self) -> None:
        self._kept: OrderedDict[UUID, Hall] = OrderedDict()

    async def get(self, tx: Transaction, layout_id: UUID) -> Hall:
        """The hall of a show's layout."""
        hall = self._kept.get(layout_id)
        if hall is None:
            hall = seating.arrange(await catalog.find_seats(tx, layout_id))
            self._kept[layout_id] = hall
            if len(self._kept) > HALLS_KEPT_MAX:
                self._kept.popitem(last=False)
        return hall
