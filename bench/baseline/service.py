"""What the baseline does to its tables; each function in a transaction of the caller's."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4  # noqa: TID251 not part of the product

from sqlalchemy import Select, and_, func, or_, select
from sqlalchemy.orm import Session

from bench.baseline.models import Booking, Payment, Seat

HOLD_SECONDS = 600


class Refused(Exception):
    """The answer's status and what it says."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


def free_seat(show_id: UUID, *, lock: bool = True) -> Select[tuple[Seat]]:
    """The best free seat, locked: whoever asks meanwhile gets the next one."""
    ran_out = and_(Seat.status == "held", Seat.held_until <= func.now())
    statement = (
        select(Seat)
        .where(Seat.show_id == show_id, or_(Seat.status == "free", ran_out))
        .order_by(Seat.rank)
        .limit(1)
    )
    return statement.with_for_update(skip_locked=True) if lock else statement


def hold(session: Session, customer_id: UUID, show_id: UUID) -> Booking:
    """Raises Refused when nothing is free."""
    seat = session.scalars(free_seat(show_id)).first()
    if seat is None:
        raise Refused(409, "sold out")
    expires_at = datetime.now(UTC) + timedelta(seconds=HOLD_SECONDS)  # noqa: TID251
    booking = Booking(
        booking_id=uuid4(),
        customer_id=customer_id,
        show_id=show_id,
        seat=seat.name,
        price_cents=seat.price_cents,
        status="held",
        expires_at=expires_at,
    )
    seat.status, seat.booking_id, seat.held_until = "held", booking.booking_id, expires_at
    session.add(booking)
    return booking


def begin_payment(session: Session, customer_id: UUID, booking_id: UUID, key: str) -> Payment:
    """A new payment of a hold, or the one that this key began. Raises Refused."""
    found = session.scalars(
        select(Payment).where(Payment.customer_id == customer_id, Payment.idempotency_key == key)
    ).first()
    if found is not None:
        return found
    booking = session.get(Booking, booking_id)
    if booking is None or booking.customer_id != customer_id:
        raise Refused(404, "no such hold")
    if booking.status != "held" or booking.expires_at <= datetime.now(UTC):  # noqa: TID251
        raise Refused(410, "the hold is over")
    payment = Payment(
        payment_id=uuid4(),
        customer_id=customer_id,
        idempotency_key=key,
        booking_id=booking_id,
        amount_cents=booking.price_cents,
        status="pending",
    )
    session.add(payment)
    return payment


def confirm(session: Session, payment_id: UUID, charge_id: str) -> Payment:
    """The money is here. A seat that is another's by now means a refund: status `refund`."""
    payment = session.get_one(Payment, payment_id, with_for_update=True)
    if payment.status != "pending":
        return payment
    booking = session.get_one(Booking, payment.booking_id, with_for_update=True)
    seat = session.get_one(Seat, (booking.show_id, booking.seat), with_for_update=True)
    payment.charge_id = charge_id
    if booking.status != "held" or seat.booking_id != booking.booking_id:
        payment.status = "refund"
        return payment
    payment.status = "success"
    seat.status, seat.held_until = "booked", None
    booking.status, booking.confirmed_at = "confirmed", datetime.now(UTC)  # noqa: TID251
    return payment


def fail(session: Session, payment_id: UUID) -> Payment:
    """The bank said no."""
    payment = session.get_one(Payment, payment_id, with_for_update=True)
    payment.status = "failed"
    return payment
