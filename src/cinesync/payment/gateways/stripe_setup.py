"""Registers the shop's webhook endpoint at Stripe, with the events that we need."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import stripe

from cinesync.payment.gateways.stripe_lifecycle import SUBSCRIBED_EVENTS

WEBHOOK_PATH: Final = "/api/payment/webhooks/stripe"
DESCRIPTION: Final = "CineSync: payments, refunds and disputes"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook endpoint at Stripe. Stripe shows its `secret` once, at its creation."""

    endpoint_id: str
    url: str
    secret: str | None


async def ensure_endpoint(
    client: stripe.StripeClient, url: str, *, renew: bool, api_version: str = stripe.api_version
) -> Endpoint:
    """The endpoint for `url`, created or updated. `renew` replaces it by a new one with a new
    secret, and deletes the old one once the new one exists.

    Raises stripe.StripeError.
    """
    known = [one async for one in _endpoints(client) if one.url == url]
    if known and not renew:
        update: dict[str, Any] = {"enabled_events": list(SUBSCRIBED_EVENTS), "disabled": False}
        updated = await client.v1.webhook_endpoints.update_async(known[0].id, update)  # type: ignore[arg-type]  # a TypedDict there
        return Endpoint(updated.id, url, None)
    new: dict[str, Any] = {
        "url": url,
        "enabled_events": list(SUBSCRIBED_EVENTS),
        "description": DESCRIPTION,
        # The SDK's version, whatever the account's default is.
        "api_version": api_version,
    }
    made = await client.v1.webhook_endpoints.create_async(new)  # type: ignore[arg-type]  # the same
    for old in known:
        await client.v1.webhook_endpoints.delete_async(old.id)
    return Endpoint(made.id, url, made.to_dict().get("secret"))


async def _endpoints(client: stripe.StripeClient) -> AsyncIterator[stripe.WebhookEndpoint]:
    after: dict[str, Any] = {}
    while True:
        page = await client.v1.webhook_endpoints.list_async({"limit": 100} | after)  # type: ignore[arg-type]  # the same
        for one in page.data:
            yield one
        if not page.has_more:
            return
        after = {"starting_after": page.data[-1].id}
