"""Reads again what a provider had to tell: notices that never arrived, and those that came early.

A refund or a dispute that staff made at the provider is told by its notice alone, and we cannot ask
about what we do not know. So its list of notices is read now and then, further back at the start.
Reading one twice changes nothing.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cinesync.chassis import background, clock, telemetry
from cinesync.payment.gateways import GatewayAway, GatewayRefused, PaymentGateway
from cinesync.payment.model import UnknownPayment
from cinesync.payment.payment_processor import PaymentProcessor

log = telemetry.get_logger(__name__)

FIRST_LOOK_BACK: Final = timedelta(days=7)
OVERLAP: Final = timedelta(minutes=30)  # of one look with the one before


@dataclass(slots=True)
class ProviderCatchUp:
    """One provider's. Several processes may run it at a time."""

    gateway: PaymentGateway
    processor: PaymentProcessor
    pause_seconds: float
    looked_at: datetime | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.look()
            except (GatewayAway, GatewayRefused) as error:
                log.warning("catch_up.unanswered", provider=self.gateway.name, why=str(error))
            background.succeeded()
            await asyncio.sleep(self.pause_seconds)

    async def look(self) -> int:
        """Reads all pages since the last look; how many notices there were."""
        begun_at = clock.now()
        since = self.looked_at - OVERLAP if self.looked_at else begun_at - FIRST_LOOK_BACK
        count = 0
        after = ""
        while True:
            notices, after = await self.gateway.notices(since, after)
            for notice in reversed(notices):  # a page has its newest first
                count += 1
                try:
                    await self.processor.receive(notice)
                except UnknownPayment:
                    continue  # another system's
            if not after:
                break
        self.looked_at = begun_at
        return count
