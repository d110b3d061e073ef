"""Checks periodically that each payment provider answers, for health and metrics."""

import asyncio

from prometheus_client import Gauge

from cinesync.chassis import background
from cinesync.payment.gateways import GatewayAway, GatewayRefused, PaymentGateway

PROBE_SECONDS = 20.0

UP = Gauge("cinesync_provider_up", "1 while the payment provider answers.", ["provider"])


class ProviderHealth:
    """One provider's. Without it the shop works, but payments stay pending."""

    def __init__(self, gateway: PaymentGateway) -> None:
        self.name = gateway.name
        self._gateway = gateway
        self._trouble: str | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.probe()
            background.succeeded()
            await asyncio.sleep(PROBE_SECONDS)

    async def probe(self) -> None:
        """Check once."""
        try:
            await self._gateway.ping()
        except (GatewayAway, GatewayRefused) as error:
            self._trouble = f"the payment provider does not answer: {error}"
        else:
            self._trouble = None
        UP.labels(self.name).set(self._trouble is None)

    def trouble(self) -> str | None:
        """The result of the last check."""
        return self._trouble
