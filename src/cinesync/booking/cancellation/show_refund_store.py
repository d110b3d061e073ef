"""Statements about refunds of whole shows."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import BigInteger, Boolean, bindparam, case, func, insert, select, update

from cinesync.booking.model import Show
from cinesync.booking.seat_store import BOOKED
from cinesync.booking.tables import booking_seats, show_refunds
from cinesync.chassis.database import Transaction, any_of, compiled


class ShowRefundProgress(Struct, frozen=True):
    """The progress of a show's refund."""

    refund_id: UUID
    show_id: UUID
    note: str
    currency: str
    bookings_refunded: int
    refund_cents: int
    started_at: datetime
    finished_at: datetime | None
    bookings_left: int = 0

    def with_left(self, bookings_left: int) -> "ShowRefundProgress":
        return replace(self, bookings_left=bookings_left)


class UnfinishedShowRefund(Struct, frozen=True):
    """A refund that has begun and is not finished."""

    refund_id: UUID
    show_id: UUID
    note: str
    actor_id: UUID


PROGRESS_COLUMNS = [
    show_refunds.c[name] for name in ShowRefundProgress.__struct_fields__ if name != "bookings_left"
]

LOCK = compiled(
    select(*PROGRESS_COLUMNS)
    .where(show_refunds.c.refund_id == bindparam("refund_id"))
    .with_for_update()
)


async def lock(tx: Transaction, refund_id: UUID) -> ShowRefundProgress | None:
    """A refund about to advance."""
    row = (await tx.execute(LOCK, {"refund_id": refund_id})).first()
    return ShowRefundProgress(*row) if row else None


INSERT = compiled(
    insert(show_refunds).values(
        refund_id=bindparam("refund_id"),
        region=bindparam("region"),
        show_id=bindparam("show_id"),
        note=bindparam("note"),
        actor_id=bindparam("actor_id"),
        currency=bindparam("currency"),
        bookings_refunded=0,
        refund_cents=0,
        started_at=func.now(),
    )
)


async def insert_refund(
    tx: Transaction, show: Show, *, refund_id: UUID, note: str, actor_id: UUID
) -> None:
    """A refund begins."""
    parameters = {
        "refund_id": refund_id,
        "region": show.region,
        "show_id": show.show_id,
        "note": note,
        "actor_id": actor_id,
        "currency": show.currency,
    }
    await tx.execute(INSERT, parameters)


_is_booked = (
    (booking_seats.c.region == bindparam("region"))
    & (booking_seats.c.show_id == bindparam("show_id"))
    & (booking_seats.c.state == BOOKED)
)
FIND_BOOKED = compiled(
    select(booking_seats.c.booking_id)
    .distinct()
    .where(_is_booked)
    .order_by(booking_seats.c.booking_id)
    .limit(bindparam("limit", type_=BigInteger))
)


async def booked_ids(tx: Transaction, show: Show, limit: int) -> list[UUID]:
    """Bookings that have seats of the show."""
    parameters = {"region": show.region, "show_id": show.show_id, "limit": limit}
    return (await tx.execute(FIND_BOOKED, parameters)).scalars()


COUNT_BOOKED = compiled(select(func.count(booking_seats.c.booking_id.distinct())).where(_is_booked))


async def count_booked(tx: Transaction, show: Show) -> int:
    """How many bookings have seats of the show."""
    parameters = {"region": show.region, "show_id": show.show_id}
    return int((await tx.execute(COUNT_BOOKED, parameters)).scalar_one())


ADVANCE = compiled(
    update(show_refunds)
    .where(show_refunds.c.refund_id == bindparam("refund_id"))
    .values(
        bookings_refunded=show_refunds.c.bookings_refunded
        + bindparam("bookings", type_=BigInteger),
        refund_cents=show_refunds.c.refund_cents + bindparam("cents", type_=BigInteger),
        finished_at=case(
            (
                bindparam("is_over", type_=Boolean),
                func.coalesce(show_refunds.c.finished_at, func.now()),
            )
        ),
    )
    .returning(*PROGRESS_COLUMNS)
)


async def advance(
    tx: Transaction, refund_id: UUID, *, bookings: int, refund_cents: int, bookings_left: int
) -> ShowRefundProgress:
    """Count what was refunded. The refund is finished when no booking is left."""
    parameters = {
        "refund_id": refund_id,
        "bookings": bookings,
        "cents": refund_cents,
        "is_over": not bookings_left,
    }
    row = (await tx.execute(ADVANCE, parameters)).one()
    return ShowRefundProgress(*row).with_left(bookings_left)


_unfinished = select(
    show_refunds.c.refund_id, show_refunds.c.show_id, show_refunds.c.note, show_refunds.c.actor_id
).where(show_refunds.c.finished_at.is_(None))
FIND_UNFINISHED = compiled(
    _unfinished.order_by(show_refunds.c.started_at, show_refunds.c.refund_id).limit(
        bindparam("limit", type_=BigInteger)
    )
)


async def unfinished(tx: Transaction, limit: int) -> list[UnfinishedShowRefund]:
    """The oldest first."""
    return [
        UnfinishedShowRefund(*row) for row in await tx.execute(FIND_UNFINISHED, {"limit": limit})
    ]


FIND_UNFINISHED_SHOWS = compiled(
    select(show_refunds.c.show_id).where(
        show_refunds.c.finished_at.is_(None), any_of(show_refunds.c.show_id, "show_ids")
    )
)


async def unfinished_shows(tx: Transaction, show_ids: Sequence[UUID]) -> set[UUID]:
    """Those of the shows whose refund is not finished."""
    return set((await tx.execute(FIND_UNFINISHED_SHOWS, {"show_ids": list(show_ids)})).scalars())
