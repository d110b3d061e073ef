"""A real command under every fault: seats are held once, sold once, and told of once."""

from collections import Counter

from cinesync.booking.event_handlers import HANDLERS
from cinesync.chassis.database import Transaction, text
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.inbox import Inbox
from cinesync.contracts.booking import BookingConfirmed, SeatsHeld
from cinesync.contracts.payment import PaymentSuccess
from tests.conftest import MakeDatabase
from tests.integration.chassis.messaging.two_services import message
from tests.support.booking import BookingHarness, hold_command, layout_seats, paid, row, scheduled
from tests.support.portability.faults import every_fault, make_faulty


async def told(tx: Transaction) -> Counter[str]:
    """How many events of each name wait in the outbox."""
    return Counter(m.name for m in await outbox.unsent(tx, 10_000))


async def seats(tx: Transaction) -> Counter[str]:
    """How many seats are in each state."""
    rows = await tx.execute(
        text("SELECT state, count(*) AS seats FROM booking_seats GROUP BY state")
    )
    return Counter({row.state: row.seats for row in rows})


async def test_a_hold_and_its_payment_take_effect_once_under_every_fault(
    make_database: MakeDatabase,
) -> None:
    db = await make_database("booking")
    plan = make_faulty(db)
    harness = BookingHarness(db)
    layout = [seat for n in range(30) for seat in row(f"R{n}", 4, y=n)] + layout_seats()[-4:]
    show = await harness.schedule(scheduled(layout))
    inbox = Inbox("booking", PaymentSuccess, HANDLERS[PaymentSuccess], db)

    await harness.hold(show, "R01", "R02")  # reads the plan, which later holds know
    plan.arm(None)
    await harness.try_hold(hold_command(show, "R11", "R12"))
    hold_faults = every_fault(plan.statements)
    booking = await harness.hold(show, "R21", "R22")
    plan.arm(None)
    await inbox.handle([message(paid(booking))])
    pay_faults = every_fault(plan.statements)

    count = 0
    for number in range(max(len(hold_faults), len(pay_faults))):
        plan.arm(*hold_faults[number % len(hold_faults)])
        booking = await harness.hold(show, best=2)
        assert plan.has_fired
        plan.arm(*pay_faults[number % len(pay_faults)])
        assert await inbox.handle([message(paid(booking))]) == {}
        assert plan.has_fired
        count += 1

    plan.arm(None)
    assert await db.read(seats) == {"booked": 2 * (count + 1), "held": 4}
    assert await db.read(told) == {SeatsHeld.name: count + 3, BookingConfirmed.name: count + 1}
