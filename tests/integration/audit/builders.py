"""Databases and a ledger with as many sales as a test wants, made without a shop."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from cinesync.audit.results import CheckOutcome
from cinesync.audit.sources import AuditSources
from cinesync.chassis import clock
from cinesync.chassis.database import Database, Transaction, text
from cinesync.chassis.messaging import outbox
from cinesync.chassis.messaging.event import Event
from cinesync.contracts.booking import BookingConfirmed, BookingReduced
from cinesync.contracts.payment import PaymentDisputed, PaymentRefundFailed, PaymentSuccess
from cinesync.ledger.service import record
from cinesync.payment.refunds import store as refund_store
from cinesync.pbft.messages import Request
from cinesync.proofs import entries, genesis
from cinesync.validator import provisioning
from cinesync.validator.state_machine import OPERATIONS_MAX, LedgerStateMachine
from cinesync.validator.storage.chain_store import ChainStore

START = 1_700_000_000_000_000
REGION, CENTS = "eu", 2400
Sale = tuple[PaymentSuccess, BookingConfirmed]


def a_sale(at: datetime, number: int = 0) -> Sale:
    """A payment and the booking of two seats that it paid for."""
    hold, payment, customer = clock.new_id(), clock.new_id(), clock.new_id()
    who: dict[str, Any] = {"customer_id": customer, "payment_id": payment, "currency": "EUR"}
    return (
        PaymentSuccess(
            event_id=clock.new_id(),
            occurred_at=at,
            hold_id=hold,
            amount_cents=CENTS,
            provider="sandbox",
            **who,
        ),
        BookingConfirmed(
            event_id=clock.new_id(),
            occurred_at=at,
            booking_id=hold,
            show_id=UUID(int=1 + number // 50),
            region=REGION,
            seats=(f"F{2 * (number % 50)}", f"F{2 * (number % 50) + 1}"),
            total_cents=CENTS,
            late=False,
            **who,
        ),
    )


async def keep_payments(tx: Transaction, audited: Sequence[Sale]) -> None:
    """As the payment service has them."""
    rows = {
        "ids": [paid.payment_id for paid, _ in audited],
        "holds": [paid.hold_id for paid, _ in audited],
        "customers": [paid.customer_id for paid, _ in audited],
        "times": [paid.occurred_at for paid, _ in audited],
        "cents": CENTS,
    }
    of = (
        "FROM unnest(CAST(:ids AS uuid[]), CAST(:holds AS uuid[]), CAST(:customers AS uuid[]),"
        " CAST(:times AS timestamptz[])) AS t(id, hold, customer, at)"
    )
    await tx.execute(
        text(
            "INSERT INTO payments (payment_id, customer_id, idempotency_key, fingerprint, hold_id,"
            " hold_expires_at, provider, amount_cents, currency, status, charge_id, failure_reason,"
            " confirm_url, refund_asked_cents, refunded_cents, trace, created_at, settled_at,"
            " checks, next_check_at)"
            " SELECT t.id, t.customer, CAST(t.id AS text), '', t.hold, t.at, 'sandbox',"
            " CAST(:cents AS bigint), 'EUR', 'success', CAST(t.id AS text), '', '', 0, 0, '',"
            f" t.at, t.at, 0, t.at {of}"
        ),
        rows,
    )
    await tx.execute(
        text(
            "INSERT INTO captures (provider, charge_id, payment_id, amount_cents, currency,"
            " surplus, captured_at) SELECT 'sandbox', CAST(t.id AS text), t.id,"
            f" CAST(:cents AS bigint), 'EUR', FALSE, t.at {of}"
        ),
        rows,
    )


async def keep_bookings(tx: Transaction, audited: Sequence[Sale]) -> None:
    """As the booking service has them."""
    values: dict[str, Any] = {
        "ids": [booked.booking_id for _, booked in audited],
        "payments": [booked.payment_id for _, booked in audited],
        "customers": [booked.customer_id for _, booked in audited],
        "shows": [booked.show_id for _, booked in audited],
        "times": [booked.occurred_at for _, booked in audited],
        "seats": [
            msgspec.json.encode(
                [{"seat": seat, "price_cents": CENTS // 2} for seat in booked.seats]
            ).decode()
            for _, booked in audited
        ],
        "cents": CENTS,
        "region": REGION,
    }
    await tx.execute(
        text(
            "INSERT INTO bookings (region, booking_id, customer_id, show_id, seats, total_cents,"
            " currency, state, created_at, expires_at, extensions, payment_id, late, confirmed_at,"
            " refund_cents, refunded_cents)"
            " SELECT CAST(:region AS text), t.id, t.customer, t.show, CAST(t.seats AS jsonb),"
            " CAST(:cents AS bigint), 'EUR', 'confirmed', t.at, t.at, 0, t.payment, FALSE, t.at,"
            " 0, 0 FROM unnest(CAST(:ids AS uuid[]), CAST(:payments AS uuid[]),"
            " CAST(:customers AS uuid[]), CAST(:shows AS uuid[]), CAST(:times AS timestamptz[]),"
            " CAST(:seats AS text[])) AS t(id, payment, customer, show, at, seats)"
        ),
        values,
    )
    marks = [(booked, seat) for _, booked in audited for seat in booked.seats]
    await tx.execute(
        text(
            "INSERT INTO booking_seats (region, show_id, seat, booking_id, state, held_until)"
            " SELECT CAST(:region AS text), t.show, t.seat, t.id, 'booked', now()"
            " FROM unnest(CAST(:shows AS uuid[]), CAST(:seats AS text[]), CAST(:ids AS uuid[]))"
            " AS t(show, seat, id)"
        ),
        {
            "region": REGION,
            "shows": [booked.show_id for booked, _ in marks],
            "seats": [seat for _, seat in marks],
            "ids": [booked.booking_id for booked, _ in marks],
        },
    )


def operations(audited: Iterable[Iterable[Event]]) -> list[bytes]:
    """Their entries, as the ledger service makes them."""
    events = (event for sale in audited for event in sale)
    return [entries.entry_of(event.name, event, bytes(32)).encode() for event in events]


@dataclass
class AuditFixture:
    """The databases of a shop and its ledger, both made of the same sales."""

    databases: dict[str, Database]
    folder: Path
    sales: list[Sale] = field(default_factory=list)

    def found(self, audited: Sequence[Sale], replicas: int = 4) -> None:
        """A ledger with these in it, on every replica."""
        start = provisioning.init(self.folder, ["127.0.0.1:1"] * 4)
        self.grow(start, audited, replicas)

    def grow(
        self, start: genesis.Genesis, audited: Iterable[Iterable[Event]], replicas: int = 4
    ) -> None:
        data = operations(audited)
        for replica in range(replicas):
            path = provisioning.validator_home(self.folder, replica) / provisioning.CHAIN_FILE
            ledger = LedgerStateMachine(start, ChainStore(path))
            for at in range(0, len(data), OPERATIONS_MAX):
                height = ledger.chain.height + 1
                request = Request("ledger", height, tuple(data[at : at + OPERATIONS_MAX]))
                ledger.apply(height, START + height, [request])
            ledger.chain.close()

    @property
    def genesis(self) -> genesis.Genesis:
        return genesis.load((self.folder / provisioning.GENESIS_FILE).read_bytes())

    async def keep(self, audited: Sequence[Sale]) -> None:
        """In the databases."""
        await self.databases["payment"].run(keep_payments, audited)
        await self.databases["booking"].run(keep_bookings, audited)
        self.sales += audited

    async def give_back(self, sale: Sale, seat: str) -> BookingReduced:
        """One of its seats, in the booking database; the ledger is to be told."""
        _, booked = sale
        reduced = BookingReduced(
            event_id=clock.new_id(),
            occurred_at=booked.occurred_at,
            reduction_id=clock.new_id(),
            booking_id=booked.booking_id,
            payment_id=booked.payment_id,
            customer_id=booked.customer_id,
            show_id=booked.show_id,
            region=REGION,
            seats=[seat],
            refund_cents=CENTS // 2,
            currency="EUR",
            reason="customer",
        )
        key = {"id": booked.booking_id, "seat": seat}
        for statement in (
            "DELETE FROM booking_seats WHERE booking_id = CAST(:id AS uuid)"
            " AND seat = CAST(:seat AS text)",
            "UPDATE bookings SET refund_cents = CAST(:cents AS bigint), cancelled_seats ="
            " (SELECT jsonb_agg(e.value) FROM jsonb_array_elements(seats) AS e(value)"
            " WHERE e.value ->> 'seat' = CAST(:seat AS text)), seats ="
            " (SELECT jsonb_agg(e.value) FROM jsonb_array_elements(seats) AS e(value)"
            " WHERE e.value ->> 'seat' <> CAST(:seat AS text))"
            " WHERE booking_id = CAST(:id AS uuid)",
            "INSERT INTO booking_refunds (refund_id, region, booking_id, seats, refund_cents,"
            " currency, whole, reason, actor_id, refunded_at) SELECT CAST(:refund AS uuid), region,"
            " booking_id, jsonb_build_array(CAST(:seat AS text)), refund_cents, 'EUR', false,"
            " 'customer', customer_id, confirmed_at FROM bookings"
            " WHERE booking_id = CAST(:id AS uuid)",
        ):
            await self.change(
                "booking", statement, **key, cents=CENTS // 2, refund=reduced.reduction_id
            )
        return reduced

    async def trouble(self, sale: Sale) -> list[PaymentRefundFailed | PaymentDisputed]:
        """A refund that failed, and a dispute that went through two states, as payment keeps
        them; the ledger is to be told."""
        paid, _ = sale
        common: dict[str, Any] = {
            "occurred_at": paid.occurred_at,
            "payment_id": paid.payment_id,
            "hold_id": paid.hold_id,
            "customer_id": paid.customer_id,
            "amount_cents": CENTS,
            "currency": "EUR",
            "reason": "lost",
        }
        failed = PaymentRefundFailed(
            event_id=clock.new_id(),
            refund_id=clock.new_id(),
            surplus=False,
            was_refunded=True,
            **common,
        )
        dispute_id = clock.new_id()
        states = [
            PaymentDisputed(event_id=clock.new_id(), dispute_id=dispute_id, status=status, **common)
            for status in ("inquiry", "open")
        ]

        async def keep(tx: Transaction) -> None:
            key = {"id": failed.refund_id, "payment": paid.payment_id, "cents": CENTS}
            await tx.execute(
                text(
                    "INSERT INTO refunds (refund_id, source, payment_id, provider, charge_id,"
                    " amount_cents, currency, reason, surplus, status) VALUES (CAST(:id AS uuid),"
                    " 'test', CAST(:payment AS uuid), 'sandbox', 'x', CAST(:cents AS bigint),"
                    " 'EUR', 'staff', false, 'failed')"
                ),
                key,
            )
            await tx.execute(
                text(
                    "INSERT INTO disputes (dispute_id, payment_id, provider, provider_dispute_id,"
                    " charge_id, amount_cents, currency, status, reason) VALUES"
                    " (CAST(:id AS uuid), CAST(:payment AS uuid), 'sandbox', 'd', 'x',"
                    " CAST(:cents AS bigint), 'EUR', 'open', 'lost')"
                ),
                key | {"id": dispute_id},
            )
            await refund_store.insert_failures(tx, [failed])
            for state in states:
                await refund_store.insert_dispute_change(tx, state)

        await self.databases["payment"].run(keep)
        return [failed, *states]

    async def leave_in_outbox(self, sale: Sale) -> None:
        await self.databases["payment"].run(outbox.append, [sale[0]])
        await self.databases["booking"].run(outbox.append, [sale[1]])

    async def hand_to_submitter(self, sale: Sale) -> None:
        await self.databases["ledger"].run(record, sale)

    async def change(self, service: str, statement: str, **values: Any) -> None:
        async def command(tx: Transaction) -> None:
            await tx.execute(text(statement), values)

        await self.databases[service].run(command)

    def sources(self, **more: Any) -> AuditSources:
        given: dict[str, Any] = {
            "gateways": {},
            "broker": None,
            "queues": [],
            "ledger": self.folder,
        }
        return AuditSources(self.databases, **{**given, **more})

    async def outcome(
        self, check: Callable[..., Any], counted: list[int] | None = None, **more: Any
    ) -> CheckOutcome:
        made: CheckOutcome = await check(self.sources(**more), (counted or []).append)
        return made


def hours_ago(hours: int) -> datetime:
    return clock.now() - timedelta(hours=hours)
