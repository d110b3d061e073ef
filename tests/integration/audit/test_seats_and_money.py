"""I1 and I2: what must not be in the databases, each way."""

import pytest

from cinesync.audit import dead_letters, money, providers, seats
from cinesync.audit import sources as audit_sources
from cinesync.audit.results import Failed, NotMade, Passed
from cinesync.chassis import clock
from cinesync.chassis.messaging.dead_letters import DeadLetter
from tests.integration.audit.builders import AuditFixture, a_sale, hours_ago, keep_payments

pytestmark = pytest.mark.slow

ID = "CAST(:id AS uuid)"


async def test_intact_databases_pass_page_by_page(
    audited: AuditFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in (1, 2, 1000):
        monkeypatch.setattr(audit_sources, "PAGE", page)
        monkeypatch.setattr(seats, "PAGE", page)
        taken = await audited.outcome(seats.check)
        paid = await audited.outcome(money.check)
        assert isinstance(taken, Passed), taken
        assert isinstance(paid, Passed), paid
        assert taken.seen == "10 seats booked for 5 bookings"
        assert (
            paid.seen == "5 payments; EUR: captured 12000 = booked 12000 + refunded 0 + pending 0"
        )
        assert paid.figures["sums"]["EUR"]["captured_cents"] == 12_000


async def test_seats_and_money_of_a_booking_that_was_given_back_in_part_add_up(
    audited: AuditFixture,
) -> None:
    _, booked = audited.sales[0]
    await audited.give_back(audited.sales[0], booked.seats[0])
    taken, paid = await audited.outcome(seats.check), await audited.outcome(money.check)
    assert isinstance(taken, Passed), taken
    assert isinstance(paid, Passed), paid
    assert taken.seen == "9 seats booked for 5 bookings"
    assert "booked 10800 + refunded 0 + pending 1200" in paid.seen
    forgotten = f"UPDATE bookings SET cancelled_seats = '[]' WHERE booking_id = {ID}"
    await audited.change("booking", forgotten, id=booked.booking_id)
    assert isinstance(await audited.outcome(seats.check), Failed)


async def test_a_seat_that_is_sold_twice_names_both_bookings(audited: AuditFixture) -> None:
    first, second = audited.sales[0][1], audited.sales[1][1]
    await audited.change(
        "booking",
        "UPDATE bookings SET seats = (SELECT o.seats FROM bookings o"
        f" WHERE o.booking_id = CAST(:other AS uuid)) WHERE booking_id = {ID}",
        id=second.booking_id,
        other=first.booking_id,
    )
    outcome = await audited.outcome(seats.check)
    assert isinstance(outcome, Failed)
    one, other = sorted((first.booking_id, second.booking_id))
    both = f"sold to more than one booking (bookings {one}, {other})"
    assert f"{first.show_id} seat F0: {both}" in outcome.findings


async def test_a_booked_seat_without_a_booking_and_the_reverse_are_found(
    audited: AuditFixture,
) -> None:
    one, other = audited.sales[0][1], audited.sales[1][1]
    gone = f"UPDATE booking_seats SET seat = 'Z1' WHERE booking_id = {ID} AND seat = 'F0'"
    await audited.change("booking", gone, id=one.booking_id)
    released = f"UPDATE bookings SET state = 'released', payment_id = NULL WHERE booking_id = {ID}"
    await audited.change("booking", released, id=other.booking_id)
    outcome = await audited.outcome(seats.check)
    assert isinstance(outcome, Failed)
    assert set(outcome.findings) == {
        f"{one.booking_id} seat F0: sold, but not marked as booked for that booking",
        f"{other.show_id} seat F2: marked as booked without a confirmed booking",
        f"{other.show_id} seat F3: marked as booked without a confirmed booking",
    }


async def test_money_that_does_not_add_up_is_found(audited: AuditFixture) -> None:
    dearer, unknown, elsewhere = (sale[1] for sale in audited.sales[:3])
    set_total = f"UPDATE bookings SET total_cents = 2500 WHERE booking_id = {ID}"
    await audited.change("booking", set_total, id=dearer.booking_id)
    new = clock.new_id()
    set_payment = f"UPDATE bookings SET payment_id = CAST(:new AS uuid) WHERE booking_id = {ID}"
    await audited.change("booking", set_payment, id=unknown.booking_id, new=new)
    set_currency = f"UPDATE bookings SET currency = 'USD' WHERE booking_id = {ID}"
    await audited.change("booking", set_currency, id=elsewhere.booking_id)
    outcome = await audited.outcome(money.check)
    assert isinstance(outcome, Failed)
    assert set(outcome.findings) == {
        f"payment {dearer.payment_id}: captured 2400, but 2500 booked, 0 refunded and 0 being"
        " refunded",
        f"payment {new} is booked but unknown",
        f"payment {elsewhere.payment_id} is in EUR, but its booking {elsewhere.booking_id} in USD",
    }
    prices = await audited.outcome(seats.check)
    assert isinstance(prices, Failed)
    assert prices.findings == (
        f"{dearer.booking_id}: booked for another price than its seats add up to",
    )


async def test_a_contradiction_in_a_payment_is_found_on_its_page(audited: AuditFixture) -> None:
    paid, _ = audited.sales[-1]
    await audited.change(
        "payment",
        f"UPDATE captures SET amount_cents = 7 WHERE payment_id = {ID}",
        id=paid.payment_id,
    )
    outcome = await audited.outcome(money.check)
    assert isinstance(outcome, Failed)
    assert any(
        f"payment {paid.payment_id} (success, 2400): captured 7" in f for f in outcome.findings
    )


async def test_money_that_is_not_booked_yet_is_on_its_way(audited: AuditFixture) -> None:
    paid, _ = a_sale(hours_ago(0))
    await audited.databases["payment"].run(keep_payments, [(paid, audited.sales[0][1])])
    outcome = await audited.outcome(money.check)
    assert isinstance(outcome, Passed)
    assert outcome.on_its_way == "money is pending: 2400 EUR"


async def test_a_provider_with_captures_that_is_not_configured_is_no_success(
    audited: AuditFixture,
) -> None:
    outcome = await audited.outcome(providers.check)
    assert isinstance(outcome, NotMade)
    assert outcome.reason.startswith("sandbox is not configured here")


async def test_databases_without_payments_need_no_provider(empty: AuditFixture) -> None:
    assert isinstance(await empty.outcome(providers.check), Passed)


class DeadLetterBroker:
    """A broker with dead letters, or none that answers."""

    def __init__(self, *letters: DeadLetter, answers: bool = True) -> None:
        self.letters = letters
        self.answers = answers

    async def waiting(self, queues: object) -> list[DeadLetter]:
        assert queues == ["booking.payment.success"]
        if not self.answers:
            raise ConnectionError("refused")
        return list(self.letters)

    async def undelivered(self, _queues: object) -> int:
        return 0


async def test_dead_letters_in_the_broker_are_seen(empty: AuditFixture) -> None:
    queues = ["booking.payment.success"]
    letter = DeadLetter(queues[0], clock.new_id(), "payment.success", b"{}", "it was bad", None)
    found = await empty.outcome(
        dead_letters.check, broker=DeadLetterBroker(letter, letter), queues=queues
    )
    assert isinstance(found, Failed)
    assert found.findings == (
        "broker: 2 dead letters of booking.payment.success wait (cinesync queues dead)",
    )
    none = await empty.outcome(dead_letters.check, broker=DeadLetterBroker(), queues=queues)
    assert isinstance(none, Passed)
    unknown = await empty.outcome(dead_letters.check, has_broker=True)
    assert isinstance(unknown, NotMade)
    assert "RABBITMQ_URL" in unknown.reason
    away = await empty.outcome(
        dead_letters.check, broker=DeadLetterBroker(answers=False), queues=queues
    )
    assert isinstance(away, NotMade)
