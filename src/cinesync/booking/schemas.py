"""Request and response bodies of holds."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec

from cinesync.booking.model import Booking, ExpectedOffer, PricedSeat, SeatSelection, Terms
from cinesync.booking.service import Held
from cinesync.chassis.http.security.access_tokens import TOKEN_CHARS_MAX

# Above SEATS_PER_HOLD_MAX, so that the rule answers with its own error.
SEATS_NAMED_MAX: Final = 100
NAME_CHARS_MAX: Final = 40
HOLDS_READ_MAX: Final = 50

SeatName = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
SeatNames = Annotated[tuple[SeatName, ...], msgspec.Meta(min_length=1, max_length=SEATS_NAMED_MAX)]


class SeatChangeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All seats that a hold shall have: name `seats`, or ask for the `best` so many side by side,
    in a `zone` if you like.

    `accessible_need` says that somebody needs the wheelchair place among them; `false` is refused.
    With `seen`, seats that now cost more, or a show that now starts at another time, are not held:
    the answer (409) has what changed.
    """

    seats: Annotated[tuple[SeatName, ...], msgspec.Meta(max_length=SEATS_NAMED_MAX)] = ()
    best: Annotated[int, msgspec.Meta(ge=1, le=SEATS_NAMED_MAX)] | None = None
    zone: SeatName | None = None
    seen: ExpectedOffer | None = None
    accessible_need: bool | None = None

    @property
    def selection(self) -> SeatSelection:
        return SeatSelection(self.seats, self.best or 0, self.zone)


class HoldRequest(SeatChangeRequest, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new hold for `show_id`. The other members are those of SeatChangeRequest."""

    show_id: UUID


class HoldLookup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hold to read, with its own customer's access token."""

    hold_id: UUID
    token: Annotated[str, msgspec.Meta(max_length=TOKEN_CHARS_MAX)]


class HoldLookupRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several holds to read."""

    items: Annotated[tuple[HoldLookup, ...], msgspec.Meta(max_length=HOLDS_READ_MAX)]


class HoldView(msgspec.Struct, frozen=True):
    """`status` is one of held, released, expired, confirmed, cancelled. `server_time` lets a client
    whose clock is wrong show a right countdown."""

    hold_id: UUID
    show_id: UUID
    region: str
    customer_id: UUID
    seats: Sequence[str]
    priced_seats: Sequence[PricedSeat]
    total_cents: int
    currency: str
    status: str
    expires_at: datetime
    server_time: datetime
    extensions_left: int
    payment_failure: str | None


class HoldLookupResult(msgspec.Struct, frozen=True):
    """`status` is the HTTP status of reading this hold alone."""

    status: int
    hold: HoldView | None


class HoldLookupResponse(msgspec.Struct, frozen=True):
    """One result for each hold, in order."""

    items: Sequence[HoldLookupResult]


def new_hold_view(held: Held, terms: Terms) -> HoldView:
    """The response to a new hold."""
    allocation = held.allocation
    return HoldView(
        hold_id=allocation.hold.hold_id,
        show_id=allocation.show.show_id,
        region=allocation.show.region,
        customer_id=allocation.hold.customer_id,
        seats=[priced.seat for priced in allocation.seats],
        priced_seats=allocation.seats,
        total_cents=allocation.total_cents,
        currency=allocation.show.currency,
        status="held",
        expires_at=held.event.expires_at,
        server_time=allocation.show.read_at,
        extensions_left=terms.extensions_max,
        payment_failure=None,
    )


def hold_view(booking: Booking, terms: Terms) -> HoldView:
    """A hold as the database has it."""
    return HoldView(
        hold_id=booking.booking_id,
        show_id=booking.show_id,
        region=booking.region,
        customer_id=booking.customer_id,
        seats=booking.seat_names,
        priced_seats=booking.seats,
        total_cents=booking.total_cents,
        currency=booking.currency,
        status=booking.status,
        expires_at=booking.expires_at,
        server_time=booking.read_at,
        extensions_left=max(terms.extensions_max - booking.extensions, 0),
        payment_failure=booking.payment_failure,
    )
