"""Response bodies of seat maps."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from cinesync.booking.model import SEATS_PER_HOLD_MAX, Terms
from cinesync.booking.seatmap.availability import ShowAvailability
from cinesync.booking.seatmap.state import FREE, SeatMapState


@dataclass(frozen=True, slots=True)
class ZoneView:
    zone: str
    price_cents: int


@dataclass(frozen=True, slots=True)
class SeatView:
    """`x` and `y` are in seat pitches, `y` growing away from the screen; `state` is one of
    free, held, booked."""

    seat: str
    row: str
    number: int
    zone: str
    kind: str
    x: float
    y: float
    companion_of: str | None
    price_cents: int
    state: str


@dataclass(frozen=True, slots=True)
class SeatMapView:
    show_id: UUID
    version: int
    currency: str
    cancelled: bool
    cancel_reason: str | None
    starts_at: datetime
    sales_close_at: datetime
    seats_per_hold_max: int
    seats_left: int
    zones: Sequence[ZoneView]
    seats: Sequence[SeatView]


class AvailabilityView(msgspec.Struct, frozen=True):
    """Unknown shows are left out."""

    items: Sequence[ShowAvailability]


def seat_map_view(state: SeatMapState, terms: Terms) -> SeatMapView:
    """Everything that a page needs to draw a seat map. Zones without a price are not on sale."""
    show = state.show
    return SeatMapView(
        show_id=show.show_id,
        version=state.version,
        currency=show.currency,
        cancelled=show.cancelled,
        cancel_reason=show.cancel_reason,
        starts_at=show.starts_at,
        sales_close_at=show.sales_close_at(terms),
        seats_per_hold_max=SEATS_PER_HOLD_MAX,
        seats_left=sum(
            seat.zone in show.prices_cents and seat.seat not in state.taken
            for seat in state.plan.seats.values()
        ),
        zones=[ZoneView(zone, cents) for zone, cents in sorted(show.prices_cents.items())],
        seats=[
            SeatView(
                seat=seat.seat,
                row=seat.row,
                number=seat.number,
                zone=seat.zone,
                kind=seat.kind,
                x=seat.x,
                y=seat.y,
                companion_of=seat.companion_of,
                price_cents=show.prices_cents[seat.zone],
                state=state.taken[seat.seat].state if seat.seat in state.taken else FREE,
            )
            for seat in state.plan.seats.values()
            if seat.zone in show.prices_cents
        ],
    )
