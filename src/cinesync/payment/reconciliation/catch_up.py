"""Reads a provider's list of events, for webhooks that never arrived or arrived too early.

Only a webhook reports a refund or a dispute that began at the provider: we cannot poll for what we
do not know. So the list of events is read periodically, further back at the start. An event that is
received twice changes nothing.
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

FIRST_PERIOD: Final = timedelta(days=7)
OVERLAP: Final = timedelta(minutes=30)  # of one reading with the one before


@dataclass(slots=True)
class ProviderCatchUp:
    """One provider's. Several processes may run it at a time."""

    gateway: PaymentGateway
    processor: PaymentProcessor
    pause_seconds: float
    read_at: datetime | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.read()
            except (GatewayAway, GatewayRefused) as error:
                log.warning("catch_up.unanswered", provider=self.gateway.name, why=str(error))
            background.succeeded()
            await asyncio.sleep(self.pause_seconds)

    async def read(self) -> int:
        """Reads all pages since the last reading. Returns the number of events."""
        begun_at = clock.now()
        since = self.read_at - OVERLAP if self.read_at else begun_at - FIRST_PERIOD
        count = 0
        after = ""
        while True:
            events, after = await self.gateway.events(since, after)
            for event in reversed(events):  # a page has its newest first
                count += 1
                try:
                    await self.processor.receive(event)
                except UnknownPayment:
                    continue  # of another system
            if not after:
                break
        self.read_at = begun_at
        return count
