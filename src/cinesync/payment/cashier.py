"""Takes a payment: hold, pending row, provider, decision. Two transactions, both in batches."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from cinesync.chassis import clock, telemetry
from cinesync.chassis.batcher import Batcher
from cinesync.chassis.db import Database
from cinesync.chassis.health import Intake
from cinesync.chassis.problems import Problem
from cinesync.payment import service, store
from cinesync.payment.gateways import ChargeOrder, Gateway, GatewayAway, GatewayRefused
from cinesync.payment.holds import Holds
from cinesync.payment.model import (
    Begin,
    Charge,
    KeyReused,
    Patience,
    Payment,
    ProviderEvent,
    Report,
    Status,
    UnknownProvider,
    fingerprint,
)

log = telemetry.get_logger(__name__)


class PayOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer asks for. `bearer` is the access token they showed."""

    customer_id: UUID
    bearer: str
    idempotency_key: str
    hold_id: UUID
    provider: str
    token: str
    return_url: str = ""

    @property
    def key(self) -> tuple[UUID, str]:
        """Keys are each customer's own."""
        return self.customer_id, self.idempotency_key

    @property
    def fingerprint(self) -> str:
        """Equal for a repetition of the same request."""
        return fingerprint(str(self.hold_id), self.provider, self.token)


class Cashier:
    """One per process; concurrent payments share transactions."""

    def __init__(
        self,
        db: Database,
        gateways: Mapping[str, Gateway],
        holds: Holds,
        patience: Patience,
        intake: Intake | None = None,
    ) -> None:
        self._db = db
        self._gateways = gateways
        self._holds = holds
        self._patience = patience
        self._intake = intake or Intake()
        self._begins = Batcher("payment begin", self._begin_batch)
        self._reports = Batcher("payment settle", self._settle_batch)
        self._events = Batcher("payment webhooks", self._receive_batch)

    async def pay(self, order: PayOrder) -> Payment:
        """The payment, decided or still pending; the same one for a repeated order.

        Raises KeyReused, UnknownProvider, NotTaking, and what Holds.read raises.
        """
        gateway = self.gateway(order.provider)
        try:
            hold = await self._holds.read(order.hold_id, order.bearer)
            self._intake.check()
        except Problem:
            # A repeated order is answered even when its hold is paid, gone or out of reach.
            earlier = await self._db.run_one(store.payments_by_keys, [order.key])
            if order.key not in earlier:
                raise
            return _repeated(earlier[order.key], order)
        payment = await self._begins.submit(
            Begin(
                payment_id=clock.new_id(),
                customer_id=order.customer_id,
                idempotency_key=order.idempotency_key,
                fingerprint=order.fingerprint,
                hold=hold,
                provider=order.provider,
                trace=telemetry.current_trace(),
            )
        )
        if payment.status is not Status.PENDING:
            return payment
        # A repetition asks the provider too: whoever began may have been killed before it did,
        # and under the payment's id the provider charges once.
        return await self._charge(gateway, payment, order)

    def gateway(self, provider: str) -> Gateway:
        """Raises UnknownProvider."""
        if provider not in self._gateways:
            raise UnknownProvider(f"Choose one of {', '.join(sorted(self._gateways))}.")
        return self._gateways[provider]

    async def settle(self, report: Report) -> Payment:
        """What a provider said, written down. Raises UnknownPayment."""
        return await self._reports.submit(report)

    async def receive(self, event: ProviderEvent) -> Payment:
        """A provider's notice, written down once. Raises UnknownPayment."""
        return await self._events.submit(event)

    async def close(self) -> None:
        """Finish what is running."""
        for batcher in (self._begins, self._reports, self._events):
            await batcher.close()

    async def _charge(self, gateway: Gateway, payment: Payment, order: PayOrder) -> Payment:
        asked = ChargeOrder(
            payment_id=payment.payment_id,
            amount_cents=payment.amount_cents,
            currency=payment.currency,
            token=order.token,
            return_url=order.return_url,
        )
        try:
            charge = await gateway.charge(asked)
        except GatewayAway as error:
            # It may have captured: pending, until the provider tells or the sweep asks.
            log.warning("payment.unanswered", payment_id=str(payment.payment_id), why=str(error))
            return payment
        except GatewayRefused as refusal:
            return await self.settle(_report(payment, absent_reason=str(refusal)))
        return await self.settle(_report(payment, charges=[charge]))

    async def _begin_batch(self, begins: Sequence[Begin]) -> Sequence[Payment | Exception]:
        return await self._db.run(service.begin_payments, begins, self._patience)

    async def _settle_batch(self, reports: Sequence[Report]) -> Sequence[Payment | Exception]:
        return await self._db.run(service.settle_payments, reports)

    async def _receive_batch(
        self, events: Sequence[ProviderEvent]
    ) -> Sequence[Payment | Exception]:
        return await self._db.run(service.receive_events, events)


def _report(payment: Payment, charges: Sequence[Charge] = (), absent_reason: str = "") -> Report:
    return Report(
        provider=payment.provider,
        payment_id=payment.payment_id,
        charges=charges,
        absent_reason=absent_reason,
    )


def _repeated(payment: Payment, order: PayOrder) -> Payment:
    if payment.fingerprint != order.fingerprint:
        raise KeyReused(payment_id=str(payment.payment_id))
    return payment
