"""Polls a provider for pending payments, and requests the refunds that are due."""

import asyncio
from dataclasses import dataclass

from cinesync.chassis import background, telemetry
from cinesync.chassis.database import Database
from cinesync.payment import store
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
from cinesync.payment.refunds import service as refund_service
from cinesync.payment.refunds import store as refund_store
from cinesync.payment.refunds.model import ProviderRefund

log = telemetry.get_logger(__name__)

BATCH_MAX = 20
REFUND_RETRY_SECONDS_MAX = 3600.0


@dataclass(frozen=True, slots=True)
class Reconciler:
    """One provider's. Any number of processes may run it: claims are conditional updates."""

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
                await self.poll_once()
                await self.refund_once()
                background.succeeded()
            else:
                background.succeeded()
                await asyncio.sleep(self.poll_seconds)

    async def poll_once(self) -> int:
        """Polls for overdue payments, BATCH_MAX at a time. Returns how many."""
        overdue = await self.db.run(
            store.claim_overdue,
            self.gateway.name,
            self.retry_policy,
            self.gateway.absent_after_seconds,
            BATCH_MAX,
        )
        await asyncio.gather(*(self._poll(one) for one in overdue))
        return len(overdue)

    async def refund_once(self) -> int:
        """Requests the refunds that are due, and polls for submitted ones. Returns how many."""
        refunds = await self.db.run(
            refund_store.claim_refunds,
            self.gateway.name,
            self.refund_retry_seconds,
            REFUND_RETRY_SECONDS_MAX,
            BATCH_MAX,
        )
        results = await asyncio.gather(*(self._refund(refund) for refund in refunds))
        reports = [result for result in results if isinstance(result, ProviderRefund)]
        if reports:
            await self.db.run(refund_service.apply_refunds, reports)
        errors = {
            refund.refund_id: result
            for refund, result in zip(refunds, results, strict=True)
            if isinstance(result, str)
        }
        if errors:
            await self.db.run(refund_service.record_errors, errors, self.refund_attempts_max)
        return len(refunds)

    async def _poll(self, overdue: store.Overdue) -> None:
        payment = overdue.payment
        try:
            charges = await self.gateway.find(payment)
            if overdue.hold_is_over:
                charges = [await self._cancel(charge) for charge in charges]
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
            await self.processor.decide(report)

    async def _cancel(self, charge: ProviderCharge) -> ProviderCharge:
        waits = charge.state is ChargeState.WAITING
        return await self.gateway.cancel(charge) if waits else charge

    async def _refund(self, refund: Refund) -> ProviderRefund | str:
        """The provider's report, or an error."""
        try:
            if refund.status is RefundStatus.SUBMITTED:
                return await self.gateway.find_refund(refund)
            return await self.gateway.refund(refund)
        except (GatewayAway, GatewayRefused) as error:
            log.warning("refund.unanswered", refund_id=str(refund.refund_id), why=str(error))
            return str(error) or type(error).__name__
