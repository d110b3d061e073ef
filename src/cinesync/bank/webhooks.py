"""Sends webhooks to the shop from a durable queue, until each is acknowledged."""

import asyncio

from cinesync.bank.model import sign
from cinesync.bank.store import BankStore, Webhook
from cinesync.chassis import background, clock
from cinesync.chassis.backoff import Backoff
from cinesync.chassis.http.client import HttpClient, NoResponse

BATCH_MAX = 50
HTTP_OK = range(200, 300)


class WebhookSender:
    """Delivers at least once: a webhook leaves the queue only after a 2xx response."""

    def __init__(self, store: BankStore, shop: HttpClient, secret: str, backoff: Backoff) -> None:
        self._store = store
        self._shop = shop
        self._secret = secret
        self._backoff = backoff

    async def run(self, poll_seconds: float) -> None:
        """Until cancelled; also processes due charges."""
        while True:
            await asyncio.to_thread(self._store.process_due)
            due = await asyncio.to_thread(self._store.webhooks_due, BATCH_MAX)
            await asyncio.gather(*(self.deliver(webhook) for webhook in due))
            background.succeeded()
            if len(due) < BATCH_MAX:
                await asyncio.sleep(poll_seconds)

    async def deliver(self, webhook: Webhook) -> None:
        """Sign at every attempt: the shop refuses old signatures."""
        if await self._post(webhook.body):
            await asyncio.to_thread(self._store.webhook_delivered, webhook.event_id)
        else:
            wait_seconds = self._backoff.pause_seconds(webhook.attempts + 1)
            await asyncio.to_thread(self._store.webhook_failed, webhook.event_id, wait_seconds)

    async def close(self) -> None:
        """Close its connections to the shop."""
        await self._shop.close()

    async def deliver_of(self, charge_id: str) -> None:
        """Send the webhook of one charge at once, before the shop has its response."""
        for webhook in await asyncio.to_thread(self._store.webhooks_of, charge_id):
            await self.deliver(webhook)

    async def _post(self, body: bytes) -> bool:
        signature = sign(self._secret, int(clock.now().timestamp()), body)
        try:
            response = await self._shop.call(
                "POST", "", content=body, headers={"bank-signature": signature}
            )
        except NoResponse:
            return False
        return response.status in HTTP_OK
