"""Nothing stays undecided: asks providers about pending payments, and gives money back."""

import asyncio
from dataclasses import dataclass

from cinesync.chassis import background, telemetry
from cinesync.chassis.database import Database
from cinesync.payment import refund_service, refund_store, store
from cinesync.payment.gateways import GatewayAway, GatewayRefused, PaymentGateway
from cinesync.payment.model import (
    ChargeState,
    ProviderCharge,
    ProviderReport,
    Refund,
    RefundStatus,
    RetryPolicy,
)
from cinesync.payment.payment_processor import PaymentProcessor
from cinesync.payment.refund_model import ProviderRefund

log = telemetry.get_logger(__name__)

BATCH_MAX = 20
REFUND_RETRY_SECONDS_MAX = 3600.0


@dataclass(frozen=True, slots=True)
class Reconciler:
    """One provider's sweep. Any number of processes may run it: claims are conditional updates."""

    db: Database
    gateway: PaymentGateway
    processor: PaymentProcessor
    retry_policy: RetryPolicy
    refund_retry_seconds: float
    poll_seconds: float
    refund_attempts_max: int = 12

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if await self.db.run_one(store.is_anything_due, self.gateway.name):
                await self.ask_once()
                await self.refund_once()
                background.succeeded()
            else:
                background.succeeded()
                await asyncio.sleep(self.poll_seconds)

    async def ask_once(self) -> int:
        """Asks about overdue payments, as many at once as a provider should bear; how many."""
        overdue = await self.db.run(
            store.claim_overdue,
            self.gateway.name,
            self.retry_policy,
            self.gateway.absent_after_seconds,
            BATCH_MAX,
        )
        await asyncio.gather(*(self._ask(one) for one in overdue))
        return len(overdue)

    async def refund_once(self) -> int:
        """Makes the refunds that are due, and asks about those under way; how many were tried."""
        refunds = await self.db.run(
            refund_store.claim_refunds,
            self.gateway.name,
            self.refund_retry_seconds,
            REFUND_RETRY_SECONDS_MAX,
            BATCH_MAX,
        )
        answers = await asyncio.gather(*(self._give_back(refund) for refund in refunds))
        told = [answer for answer in answers if isinstance(answer, ProviderRefund)]
        if told:
            await self.db.run(refund_service.take_refunds, told)
        errors = {
            refund.refund_id: answer
            for refund, answer in zip(refunds, answers, strict=True)
            if isinstance(answer, str)
        }
        if errors:
            await self.db.run(refund_service.give_up_refunds, errors, self.refund_attempts_max)
        return len(refunds)

    async def _ask(self, overdue: store.Overdue) -> None:
        payment = overdue.payment
        try:
            charges = await self.gateway.find(payment)
            if overdue.hold_is_over:
                charges = [await self._give_up(charge) for charge in charges]
        except (GatewayAway, GatewayRefused) as error:
            log.warning("payment.unanswered", payment_id=str(payment.payment_id), why=str(error))
            return
        if charges or overdue.absence_counts:
            report = ProviderReport(
                provider=payment.provider,
                payment_id=payment.payment_id,
                charges=charges,
                absent_reason="not_charged",
            )
            await self.processor.settle(report)

    async def _give_up(self, charge: ProviderCharge) -> ProviderCharge:
        waits = charge.state is ChargeState.WAITING
        return await self.gateway.cancel(charge) if waits else charge

    async def _give_back(self, refund: Refund) -> ProviderRefund | str:
        """What the provider says, or why it says nothing."""
        is_under_way = refund.status is RefundStatus.SUBMITTED
        try:
            if is_under_way:
                return await self.gateway.find_refund(refund)
            return await self.gateway.refund(refund)
        except (GatewayAway, GatewayRefused) as error:
            log.warning("refund.unanswered", refund_id=str(refund.refund_id), why=str(error))
            return str(error) or type(error).__name__
