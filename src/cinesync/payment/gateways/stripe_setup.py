"""Sees to it that Stripe tells the shop what it has to know: one endpoint, with our events."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import stripe

from cinesync.payment.gateways.stripe_lifecycle import SUBSCRIBED_EVENTS

WEBHOOK_PATH: Final = "/api/payment/webhooks/stripe"
DESCRIPTION: Final = "CineSync: payments, refunds and disputes"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint at Stripe. Its `secret` is shown once, when it is made."""

    endpoint_id: str
    url: str
    secret: str | None


async def ensure_endpoint(
    client: stripe.StripeClient, url: str, *, renew: bool, api_version: str = stripe.api_version
) -> Endpoint:
    """The endpoint for `url`, made or brought up to date. With `renew` a new one takes its place,
    which has a new secret; the old one goes only when the new one is there.

    Raises stripe.StripeError.
    """
    known = [one async for one in _endpoints(client) if one.url == url]
    if known and not renew:
        wanted: dict[str, Any] = {"enabled_events": list(SUBSCRIBED_EVENTS), "disabled": False}
        kept = await client.v1.webhook_endpoints.update_async(known[0].id, wanted)  # type: ignore[arg-type]  # a TypedDict there
        return Endpoint(kept.id, url, None)
    new: dict[str, Any] = {
        "url": url,
        "enabled_events": list(SUBSCRIBED_EVENTS),
        "description": DESCRIPTION,
        # Events are as the SDK knows them, whatever the account's own version is.
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
