"""Takes payments: read the hold, write a pending row, charge at the provider, decide.

Writing and deciding are two transactions, each shared by the payments that arrive together. The
provider is never called inside one.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from cinesync.chassis import clock, telemetry
from cinesync.chassis.batcher import Batcher
from cinesync.chassis.database import Database
from cinesync.chassis.health import Intake
from cinesync.chassis.http.security.client_address import UNKNOWN
from cinesync.chassis.problems import Problem
from cinesync.payment import service, store
from cinesync.payment.failure_limit import FailureLimit
from cinesync.payment.gateways import (
    ChargeOrder,
    GatewayAway,
    GatewayRefused,
    PaymentGateway,
    ProviderEvent,
)
from cinesync.payment.hold_client import HoldClient
from cinesync.payment.model import (
    FREE,
    ChargeEvent,
    ChargeState,
    Hold,
    KeyReused,
    Payment,
    PaymentLimits,
    PaymentStatus,
    PaymentUnderway,
    ProviderCharge,
    ProviderReport,
    RetryPolicy,
    StartPayment,
    TokenMissing,
    UnknownPayment,
    UnknownProvider,
    fingerprint,
)
from cinesync.payment.refunds import service as refund_service
from cinesync.payment.refunds.model import ProviderDispute, ProviderRefund

log = telemetry.get_logger(__name__)


class PaymentRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A customer's request to pay. `bearer` is their access token."""

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
        self._retry_policy = retry_policy
        self._intake = intake or Intake()
        self._limits = limits
        self._failures = FailureLimit(limits)
        self._starts = Batcher("payment begin", self._start_batch)
        self._reports = Batcher("payment settle", self._decide_batch)
        self._events = Batcher("payment webhooks", self._receive_batch)

    async def pay(self, request: PaymentRequest) -> Payment:
        """The payment, decided or still pending; the same one for a repeated request.

        Raises KeyReused, UnknownProvider, TokenMissing, AlreadyPaid, PaymentUnderway,
        TooManyAttempts, TooManyFailures, NotTaking, and what HoldClient.read raises.
        """
        gateway = self.gateway(request.provider) if request.provider else self._default
        self._failures.check(request.address)
        try:
            hold = await self._holds.read(request.hold_id, request.bearer)
            self._intake.check()
        except Problem:
            # A repeated request gets its payment even if its hold is paid, gone or unreadable.
            earlier = await self._db.run_one(store.payments_by_keys, [request.key])
            if request.key not in earlier:
                raise
            return _repeated(earlier[request.key], request)
        command = StartPayment(
            payment_id=clock.new_id(),
            customer_id=request.customer_id,
            idempotency_key=request.idempotency_key,
            fingerprint=request.fingerprint,
            hold=hold,
            provider=_provider(gateway, request, hold),
            trace=telemetry.current_trace(),
        )
        payment = await self._start(command)
        if payment.status is not PaymentStatus.PENDING or gateway is None:
            return payment
        # A repetition charges too: the process that started the payment may have been killed before
        # it did. The provider charges once for a payment id.
        payment = await self._charge(gateway, payment, request)
        if payment.status is PaymentStatus.FAILED:
            self._failures.record(request.address)
        return payment

    @property
    def provider(self) -> str:
        """The default payment provider; empty if none is configured."""
        return self._default.name if self._default else ""

    @property
    def _default(self) -> PaymentGateway | None:
        """For requests that name no provider."""
        return next(iter(self._gateways.values()), None)

    async def _start(self, command: StartPayment) -> Payment:
        """Cancels an unconfirmed payment for the same hold: its card holder starts anew.

        Raises PaymentUnderway for another one that is pending.
        """
        try:
            return await self._starts.submit(command)
        except PaymentUnderway as underway:
            if not await self._cancel_unconfirmed(underway.members["payment_id"]):
                raise
        return await self._starts.submit(command)

    async def _cancel_unconfirmed(self, payment_id: UUID) -> bool:
        """Whether the payment waited for its card holder, and is decided now."""
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
            log.warning("payment.not_cancelled", payment_id=str(payment_id), why=str(error))
            return False
        await self.decide(_report(payment, charges=[charge]))
        return True

    def gateway(self, provider: str) -> PaymentGateway:
        """Raises UnknownProvider."""
        if provider not in self._gateways:
            raise UnknownProvider(f"Choose one of {', '.join(sorted(self._gateways))}.")
        return self._gateways[provider]

    async def decide(self, report: ProviderReport) -> Payment:
        """Apply what a provider reports. Raises UnknownPayment."""
        return await self._reports.submit(report)

    async def receive(self, event: ProviderEvent) -> None:
        """Apply a provider's event, once. Raises UnknownPayment."""
        match event:
            case ChargeEvent():
                await self._events.submit(event)
            case ProviderRefund():
                if not await self._db.run(refund_service.apply_refunds, [event]):
                    raise UnknownPayment
            case ProviderDispute():
                await self._db.run(refund_service.apply_dispute, event)

    async def close(self) -> None:
        """Finish running batches."""
        for batcher in (self._starts, self._reports, self._events):
            await batcher.close()

    async def _charge(
        self, gateway: PaymentGateway, payment: Payment, request: PaymentRequest
    ) -> Payment:
        order = ChargeOrder(
            payment_id=payment.payment_id,
            amount_cents=payment.amount_cents,
            currency=payment.currency,
            token=request.token,
            return_url=request.return_url,
        )
        try:
            charge = await gateway.charge(order)
        except GatewayAway as error:
            # It may have captured: pending until a webhook or the reconciler decides.
            log.warning("payment.unanswered", payment_id=str(payment.payment_id), why=str(error))
            return payment
        except GatewayRefused as refusal:
            return await self.decide(_report(payment, absent_reason=str(refusal)))
        return await self.decide(_report(payment, charges=[charge]))

    async def _start_batch(self, commands: Sequence[StartPayment]) -> Sequence[Payment | Exception]:
        return await self._db.run(service.start_payments, commands, self._retry_policy)

    async def _decide_batch(
        self, reports: Sequence[ProviderReport]
    ) -> Sequence[Payment | Exception]:
        return await self._db.run(service.decide_payments, reports, self._limits)

    async def _receive_batch(self, events: Sequence[ChargeEvent]) -> Sequence[Payment | Exception]:
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


def _provider(gateway: PaymentGateway | None, request: PaymentRequest, hold: Hold) -> str:
    """Raises UnknownProvider, TokenMissing."""
    if not hold.total_cents:
        return FREE
    if gateway is None:
        raise UnknownProvider("No payment provider is set up.")
    if not request.token:
        raise TokenMissing
    return gateway.name


def _repeated(payment: Payment, request: PaymentRequest) -> Payment:
    if payment.fingerprint != request.fingerprint:
        raise KeyReused(payment_id=str(payment.payment_id))
    return payment
