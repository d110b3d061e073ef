"""How many seats of shows can be bought now: neither sold nor held. For lists of shows.

Counted from the seat maps that this process keeps anyway, else from the database, for all shows
that are asked for at once and at most every two seconds for each; whoever asks in between gets
what was counted.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

import msgspec
from cachetools import TTLCache

from cinesync.booking.allocation.seating import Hall
from cinesync.booking.model import Show, Terms
from cinesync.booking.seatmap.hub import Live
from cinesync.booking.seatmap.state import Feed
from cinesync.booking.show_cache import Kept
from cinesync.booking.store import UNIT_SEPARATOR, Sale
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, text

COUNTED_SECONDS: Final = 2.0
SHOWS_COUNTED_MAX: Final = 20_000


class SeatsLeft(msgspec.Struct, frozen=True):
    """Of `seat_count` seats, `seats_left` can be bought now; `seats_held` may still come free."""

    show_id: UUID
    seat_count: int
    seats_left: int
    seats_held: int


class Availability:
    """One per process."""

    def __init__(self, db: Database, live: Live, kept: Kept, terms: Terms) -> None:
        self._db = db
        self._live = live
        self._kept = kept
        self._terms = terms
        self._counting = asyncio.Lock()
        self._counted: TTLCache[UUID, SeatsLeft] = TTLCache(
            SHOWS_COUNTED_MAX, COUNTED_SECONDS, timer=clock.monotonic_seconds
        )

    async def of(self, show_ids: Sequence[UUID]) -> list[SeatsLeft]:
        """Of the shows that are known here."""
        known = self._known(show_ids)
        if any(show_id not in known for show_id in show_ids):
            async with self._counting:
                known = self._known(show_ids)  # somebody may have counted them meanwhile
                missing = [show_id for show_id in show_ids if show_id not in known]
                if missing:
                    known |= await self._count(missing)
        return [known[show_id] for show_id in dict.fromkeys(show_ids) if show_id in known]

    def _known(self, show_ids: Iterable[UUID]) -> dict[UUID, SeatsLeft]:
        found: dict[UUID, SeatsLeft] = {}
        for show_id in show_ids:
            counted = self._counted.get(show_id)
            if counted is not None:
                found[show_id] = counted
            elif (feed := self._live.watched(show_id)) is not None:
                found[show_id] = self._counted[show_id] = self._of_feed(feed)
        return found

    def _of_feed(self, feed: Feed) -> SeatsLeft:
        held = {seat for seat, taken in feed.taken.items() if taken.held_until is not None}
        return self._left(feed.show, feed.hall, feed.taken.keys() - held, held)

    async def _count(self, show_ids: Sequence[UUID]) -> Mapping[UUID, SeatsLeft]:
        counted = await self._db.read(self._read, show_ids)
        self._counted.update(counted)
        return counted

    async def _read(self, tx: Transaction, show_ids: Sequence[UUID]) -> dict[UUID, SeatsLeft]:
        rows = await taken_of(tx, show_ids)
        shows = await self._kept.shows(tx, [sale for sale, _ in rows])
        left: dict[UUID, SeatsLeft] = {}
        for sale, held in rows:
            show = shows[sale.show_id]
            hall = await self._kept.hall(tx, show.layout_id)
            left[sale.show_id] = self._left(show, hall, sale.taken - held, held)
        return left

    def _left(
        self, show: Show, hall: Hall, booked: Iterable[str], held: Iterable[str]
    ) -> SeatsLeft:
        """Seats of zones without a price are not on sale."""
        unpriced = set(hall.outside(show.prices_cents.keys()))
        seat_count = len(hall.seats) - len(unpriced)
        seats_held = len(set(held) - unpriced)
        is_on_sale = show.refuse_sale(self._terms) is None
        free = seat_count - len(set(booked) - unpriced) - seats_held
        return SeatsLeft(show.show_id, seat_count, max(free, 0) * is_on_sale, seats_held)


async def taken_of(tx: Transaction, show_ids: Iterable[UUID]) -> list[tuple[Sale, set[str]]]:
    """How the sales of these shows stand, and which of the taken seats are only held."""
    statement = text(
        "SELECT s.show_id, s.revision, s.cancelled, now() AS read_at,"
        " coalesce(t.taken_names, '') AS taken_names, coalesce(t.held_names, '') AS held_names"
        " FROM shows AS s LEFT JOIN LATERAL (SELECT string_agg(b.seat, chr(31)) AS taken_names,"
        " string_agg(b.seat, chr(31)) FILTER (WHERE b.state = 'held') AS held_names"
        " FROM booking_seats AS b WHERE b.region = s.region AND b.show_id = s.show_id"
        " AND (b.state = 'booked' OR b.held_until > now())) AS t ON true"
        " WHERE s.show_id = ANY(CAST(:show_ids AS uuid[]))"
    )
    rows = await tx.execute(statement, {"show_ids": sorted(set(show_ids))})
    return [
        (Sale(*row[:5]), set(row.held_names.split(UNIT_SEPARATOR)) if row.held_names else set())
        for row in rows
    ]
