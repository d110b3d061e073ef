"""Takes a payment: hold, pending row, provider, decision. Two transactions, both in batches."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from cinesync.chassis import clock, telemetry
from cinesync.chassis.batcher import Batcher
from cinesync.chassis.database import Database
from cinesync.chassis.health import Intake
from cinesync.chassis.http.security.client_address import UNKNOWN
from cinesync.chassis.problems import Problem
from cinesync.payment import refund_service, service, store
from cinesync.payment.failure_limit import FailureLimit
from cinesync.payment.gateways import (
    ChargeOrder,
    GatewayAway,
    GatewayRefused,
    PaymentGateway,
    ProviderNotice,
)
from cinesync.payment.hold_client import HoldClient
from cinesync.payment.model import (
    FREE,
    ChargeState,
    Hold,
    KeyReused,
    Payment,
    PaymentLimits,
    PaymentStatus,
    PaymentUnderway,
    ProviderCharge,
    ProviderEvent,
    ProviderReport,
    RetryPolicy,
    StartPayment,
    TokenMissing,
    UnknownPayment,
    UnknownProvider,
    fingerprint,
)
from cinesync.payment.refund_model import ProviderDispute, ProviderRefund

log = telemetry.get_logger(__name__)


class PaymentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a customer asks for. `bearer` is the access token they showed."""

    customer_id: UUID
    bearer: str
    idempotency_key: str
    hold_id: UUID
    provider: str
    token: str
    return_url: str = ""
    address: str = UNKNOWN

    @property
    def key(self) -> tuple[UUID, str]:
        """Keys are each customer's own."""
        return self.customer_id, self.idempotency_key

    @property
    def fingerprint(self) -> str:
        """Equal for a repetition of the same request."""
        return fingerprint(str(self.hold_id), self.provider, self.token)


class PaymentProcessor:
    """One per process; concurrent payments share transactions."""

    def __init__(
        self,
        db: Database,
        gateways: Mapping[str, PaymentGateway],
        holds: HoldClient,
        retry_policy: RetryPolicy,
        limits: PaymentLimits = service.LIMITS,
        intake: Intake | None = None,
    ) -> None:
        self._db = db
        self._gateways = gateways
        self._holds = holds
        self._patience = retry_policy
        self._intake = intake or Intake()
        self._limits = limits
        self._failures = FailureLimit(limits)
        self._begins = Batcher("payment begin", self._begin_batch)
        self._reports = Batcher("payment settle", self._settle_batch)
        self._events = Batcher("payment webhooks", self._receive_batch)

    async def pay(self, order: PaymentRequest) -> Payment:
        """The payment, decided or still pending; the same one for a repeated order.

        Raises KeyReused, UnknownProvider, TokenMissing, AlreadyPaid, PaymentUnderway,
        TooManyAttempts, TooManyFailures, NotTaking, and what Holds.read raises.
        """
        gateway = self.gateway(order.provider) if order.provider else self._default
        self._failures.check(order.address)
        try:
            hold = await self._holds.read(order.hold_id, order.bearer)
            self._intake.check()
        except Problem:
            # A repeated order is answered even when its hold is paid, gone or out of reach.
            earlier = await self._db.run_one(store.payments_by_keys, [order.key])
            if order.key not in earlier:
                raise
            return _repeated(earlier[order.key], order)
        begin = StartPayment(
            payment_id=clock.new_id(),
            customer_id=order.customer_id,
            idempotency_key=order.idempotency_key,
            fingerprint=order.fingerprint,
            hold=hold,
            provider=_provider(gateway, order, hold),
            trace=telemetry.current_trace(),
        )
        payment = await self._begin(begin)
        if payment.status is not PaymentStatus.PENDING or gateway is None:
            return payment
        # A repetition asks the provider too: whoever began may have been killed before it did,
        # and under the payment's id the provider charges once.
        payment = await self._charge(gateway, payment, order)
        if payment.status is PaymentStatus.FAILED:
            self._failures.note(order.address)
        return payment

    @property
    def provider(self) -> str:
        """Whom this shop takes money through; empty when nobody is set up."""
        return self._default.name if self._default else ""

    @property
    def _default(self) -> PaymentGateway | None:
        """The provider of who names none."""
        return next(iter(self._gateways.values()), None)

    async def _begin(self, begin: StartPayment) -> Payment:
        """Raises PaymentUnderway, unless the other one waits for its card holder, who is here."""
        try:
            return await self._begins.submit(begin)
        except PaymentUnderway as underway:
            if not await self._give_up(underway.members["payment_id"]):
                raise
        return await self._begins.submit(begin)

    async def _give_up(self, payment_id: UUID) -> bool:
        """Cancels a payment that its card holder has not confirmed; whether it was one."""
        payment = await self._db.run_one(store.find_payment, payment_id)
        if (
            payment is None
            or not payment.confirm_url
            or payment.status is not PaymentStatus.PENDING
        ):
            return False
        waiting = ProviderCharge(
            charge_id=payment.charge_id,
            state=ChargeState.WAITING,
            amount_cents=payment.amount_cents,
            currency=payment.currency,
        )
        try:
            charge = await self.gateway(payment.provider).cancel(waiting)
        except (GatewayAway, GatewayRefused, UnknownProvider) as error:
            log.warning("payment.not_given_up", payment_id=str(payment_id), why=str(error))
            return False
        await self.settle(_report(payment, charges=[charge]))
        return True

    def gateway(self, provider: str) -> PaymentGateway:
        """Raises UnknownProvider."""
        if provider not in self._gateways:
            raise UnknownProvider(f"Choose one of {', '.join(sorted(self._gateways))}.")
        return self._gateways[provider]

    async def settle(self, report: ProviderReport) -> Payment:
        """What a provider said, written down. Raises UnknownPayment."""
        return await self._reports.submit(report)

    async def receive(self, notice: ProviderNotice) -> None:
        """A provider's notice, written down once. Raises UnknownPayment."""
        match notice:
            case ProviderEvent():
                await self._events.submit(notice)
            case ProviderRefund():
                if not await self._db.run(refund_service.take_refunds, [notice]):
                    raise UnknownPayment
            case ProviderDispute():
                await self._db.run(refund_service.take_dispute, notice)

    async def close(self) -> None:
        """Finish what is running."""
        for batcher in (self._begins, self._reports, self._events):
            await batcher.close()

    async def _charge(
        self, gateway: PaymentGateway, payment: Payment, order: PaymentRequest
    ) -> Payment:
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

    async def _begin_batch(self, begins: Sequence[StartPayment]) -> Sequence[Payment | Exception]:
        return await self._db.run(service.begin_payments, begins, self._patience)

    async def _settle_batch(
        self, reports: Sequence[ProviderReport]
    ) -> Sequence[Payment | Exception]:
        return await self._db.run(service.decide_payments, reports, self._limits)

    async def _receive_batch(
        self, events: Sequence[ProviderEvent]
    ) -> Sequence[Payment | Exception]:
        return await self._db.run(service.receive_events, events, self._limits)


def _report(
    payment: Payment, charges: Sequence[ProviderCharge] = (), absent_reason: str = ""
) -> ProviderReport:
    return ProviderReport(
        provider=payment.provider,
        payment_id=payment.payment_id,
        charges=charges,
        absent_reason=absent_reason,
    )


def _provider(gateway: PaymentGateway | None, order: PaymentRequest, hold: Hold) -> str:
    """Who takes the money: nobody when there is none to take. Raises as Cashier.pay."""
    if not hold.total_cents:
        return FREE
    if gateway is None:
        raise UnknownProvider("No payment provider is set up.")
    if not order.token:
        raise TokenMissing
    return gateway.name


def _repeated(payment: Payment, order: PaymentRequest) -> Payment:
    if payment.fingerprint != order.fingerprint:
        raise KeyReused(payment_id=str(payment.payment_id))
    return payment
