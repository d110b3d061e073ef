"""Nothing stays undecided: asks providers about pending payments, and gives money back."""

import asyncio
from dataclasses import dataclass

from cinesync.chassis import background, telemetry
from cinesync.chassis.db import Database
from cinesync.payment import service, store
from cinesync.payment.cashier import Cashier
from cinesync.payment.gateways import Gateway, GatewayAway, GatewayRefused
from cinesync.payment.model import Charge, ChargeState, Patience, Refund, Report

log = telemetry.get_logger(__name__)

BATCH_MAX = 20


@dataclass(frozen=True, slots=True)
class Sweep:
    """One provider's sweep. Any number of processes may run it: claims are conditional updates."""

    db: Database
    gateway: Gateway
    cashier: Cashier
    patience: Patience
    refund_retry_seconds: float
    poll_seconds: float

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
            self.patience,
            self.gateway.absent_after_seconds,
            BATCH_MAX,
        )
        await asyncio.gather(*(self._ask(one) for one in overdue))
        return len(overdue)

    async def refund_once(self) -> int:
        """Gives back what is due now; how many were tried."""
        refunds = await self.db.run(
            store.claim_refunds, self.gateway.name, self.refund_retry_seconds, BATCH_MAX
        )
        errors = await asyncio.gather(*(self._give_back(refund) for refund in refunds))
        results = {refund.refund_id: error for refund, error in zip(refunds, errors, strict=True)}
        done = [refund_id for refund_id, error in results.items() if not error]
        if done:
            await self.db.run(service.finish_refunds, done)
        if failed := {refund_id: error for refund_id, error in results.items() if error}:
            await self.db.run(store.note_refund_errors, failed)
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
            report = Report(
                provider=payment.provider,
                payment_id=payment.payment_id,
                charges=charges,
                absent_reason="not_charged",
            )
            await self.cashier.settle(report)

    async def _give_up(self, charge: Charge) -> Charge:
        waits = charge.state is ChargeState.WAITING
        return await self.gateway.cancel(charge) if waits else charge

    async def _give_back(self, refund: Refund) -> str:
        """Why it did not work, or an empty text."""
        try:
            await self.gateway.refund(refund)
        except (GatewayAway, GatewayRefused) as error:
            log.warning("refund.unanswered", refund_id=str(refund.refund_id), why=str(error))
            return str(error) or type(error).__name__
        return ""
