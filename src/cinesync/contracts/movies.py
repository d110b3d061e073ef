"""Events of the movies service: shows, with the layouts of their auditoriums."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cinesync.chassis.messaging.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class LayoutSeat:
    """One seat of a layout.

    `seat` is its label ("F7"), `row` and `number` its parts; `kind` is one of standard,
    recliner, wheelchair, companion; `x`, `y` are in seat pitches from the screen's left corner,
    `y` growing away from the screen. `run` groups neighbours: two seats are side by side when
    they have the same `row` and `run` and consecutive numbers. `companion_of` names the
    wheelchair place that a companion seat belongs to.
    """

    seat: str
    row: str
    number: int
    zone: str
    kind: str
    x: float
    y: float
    run: int = 0
    companion_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The seats of an auditorium; `layout_id` changes whenever the seats do."""

    layout_id: UUID
    seats: Sequence[LayoutSeat]


class ShowScheduled(Event, frozen=True, kw_only=True, tag="show.scheduled"):
    """A show is on sale.

    Carries all that booking needs to sell it, layout included. `prices_cents` is per zone, in
    minor units of `currency` (ISO 4217); `time_zone` is an IANA name; times are UTC. Sales close
    `sales_close_minutes` after the start (below 0: before it); None: booking's default.
    """

    show_id: UUID
    region: str
    movie_id: UUID
    movie_title: str
    theater_id: UUID
    theater_name: str
    city: str
    time_zone: str
    auditorium_name: str
    starts_at: datetime
    ends_at: datetime
    format: str
    language: str
    currency: str
    prices_cents: Mapping[str, int]
    layout: Layout
    sales_close_minutes: int | None = None


class ShowChanged(Event, frozen=True, kw_only=True, tag="show.changed"):
    """A show has new times, prices or end of sale; its auditorium and seats stay.

    `revision` grows by one with each change, so that consumers ignore an older change that arrives
    late.
    """

    show_id: UUID
    region: str
    revision: int
    starts_at: datetime
    ends_at: datetime
    prices_cents: Mapping[str, int]
    sales_close_minutes: int | None = None


class ShowCancelled(Event, frozen=True, kw_only=True, tag="show.cancelled"):
    """A show will not take place; booking cancels and refunds its bookings."""

    show_id: UUID
    region: str
    reason: str
