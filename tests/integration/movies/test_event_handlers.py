"""Events of bookings are counted once, however often they are delivered."""

from typing import Any

from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.messaging.event import Message, encode
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.contracts.booking import BookingConfirmed, BookingReduced
from cinesync.movies import service
from cinesync.movies.event_handlers import HANDLERS


async def _taken(tx: Transaction) -> int:
    statement = text("SELECT CAST(sum(seats_taken) AS bigint) FROM shows")
    taken: int = (await tx.execute(statement)).scalar_one()
    return taken


async def _any_show(tx: Transaction) -> Any:
    return (await tx.execute(text("SELECT show_id, region FROM shows LIMIT 1"))).one()


async def _booking(db: Database) -> BookingConfirmed:
    show = await db.read(_any_show)
    return BookingConfirmed(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        booking_id=clock.new_id(),
        payment_id=clock.new_id(),
        customer_id=clock.new_id(),
        show_id=show.show_id,
        region=show.region,
        seats=["A1", "A2"],
        total_cents=100,
        currency="EUR",
        late=False,
    )


async def test_a_booking_delivered_again_and_again_counts_once(chain: Database) -> None:
    event = await _booking(chain)
    message = Message(event.event_id, event.name, encode(event))
    inbox = Inbox("movies", BookingConfirmed, HANDLERS[BookingConfirmed], chain)
    assert await inbox.handle([message, message]) == {}
    assert await inbox.handle([message]) == {}
    assert await chain.read(_taken) == 2


async def test_seats_cancelled_one_by_one_are_left_again(chain: Database) -> None:
    booked = await _booking(chain)
    reduced = BookingReduced(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        reduction_id=clock.new_id(),
        booking_id=booked.booking_id,
        payment_id=booked.payment_id,
        customer_id=booked.customer_id,
        show_id=booked.show_id,
        region=booked.region,
        seats=["A2"],
        refund_cents=50,
        currency="EUR",
        reason="customer",
    )
    for event in (reduced, booked, reduced):
        message = Message(event.event_id, event.name, encode(event))
        inbox = Inbox("movies", type(event), HANDLERS[type(event)], chain)
        assert await inbox.handle([message]) == {}
    assert await chain.read(_taken) == 1


async def test_without_the_inbox_a_booking_delivered_again_counts_again(chain: Database) -> None:
    event = await _booking(chain)
    await chain.run(service.count_booked, [event])
    await chain.run(service.count_booked, [event])
    assert await chain.read(_taken) == 4
