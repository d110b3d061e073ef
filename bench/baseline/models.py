"""The baseline's tables: a row per seat of a show, as most shops begin."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """Of all tables."""


class Seat(Base):
    """`rank` orders the seats of a show, the best first; `status` is free, held or booked."""

    __tablename__ = "seats"
    __table_args__ = (Index("seats_by_rank", "show_id", "rank"),)

    show_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    rank: Mapped[int]
    price_cents: Mapped[int]
    status: Mapped[str]
    booking_id: Mapped[UUID | None]
    held_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Booking(Base):
    """`status` is held, confirmed or lapsed."""

    __tablename__ = "bookings"

    booking_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(index=True)
    show_id: Mapped[UUID]
    seat: Mapped[str]
    price_cents: Mapped[int]
    status: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    confirmed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class Payment(Base):
    """`status` is pending, success, failed or refunded."""

    __tablename__ = "payments"
    __table_args__ = (UniqueConstraint("customer_id", "idempotency_key"),)

    payment_id: Mapped[UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[UUID]
    idempotency_key: Mapped[str]
    booking_id: Mapped[UUID] = mapped_column(ForeignKey("bookings.booking_id"), index=True)
    amount_cents: Mapped[int]
    status: Mapped[str]
    charge_id: Mapped[str | None]
