"""`cinesync payments`: sets up a payment provider."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import rich_click as click

from cinesync.cli.context import CommandError, clear_settings_errors, environ

if TYPE_CHECKING:
    from cinesync.payment.gateways.stripe_setup import Endpoint

STRIPE_SECONDS_MAX = 20.0


@click.group("payments")
def payments_group() -> None:
    """Set up a payment provider."""


@payments_group.command("stripe-setup")
@click.option("--url", help="The shop's public URL, e.g. https://shop.example [SHOP_URL].")
@click.option(
    "--new-secret",
    is_flag=True,
    help="Replace the endpoint by a new one, which has a new signing secret.",
)
def stripe_setup_command(url: str | None, *, new_secret: bool) -> None:
    """Create Stripe's webhook endpoint for the shop, or update its list of events.

    Uses the account of STRIPE_SECRET_KEY. Running it again changes nothing. Stripe shows the
    signing secret once, for a new endpoint: put the line on stdout into the shop's environment.
    """
    settings = environ()
    key = settings.get("STRIPE_SECRET_KEY", "")
    if not key:
        raise CommandError(
            "STRIPE_SECRET_KEY is not set; Stripe's dashboard has it under API keys."
        )
    shop_url = _checked(url or settings.get("SHOP_URL", ""))
    with clear_settings_errors():
        endpoint = asyncio.run(_ensure(key, shop_url, settings, renew=new_secret))
    if endpoint.secret is None:
        click.echo(
            f"{endpoint.url} exists; its events are up to date. Its secret is unchanged"
            " (--new-secret creates another).",
            err=True,
        )
        return
    click.echo(f"created {endpoint.endpoint_id} for {endpoint.url}", err=True)
    click.echo(f"STRIPE_WEBHOOK_SECRET={endpoint.secret}")


def _checked(url: str) -> str:
    """Raises CommandError."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise CommandError(
            f"Stripe cannot reach the shop at {url or 'no URL'}: give --url https://…"
        )
    return url.rstrip("/")


async def _ensure(
    key: str, shop_url: str, settings: Mapping[str, str], *, renew: bool
) -> "Endpoint":
    """Raises CommandError."""
    import stripe  # noqa: PLC0415 slow to load, and no other command needs it

    from cinesync.payment.gateways.stripe import open_stripe  # noqa: PLC0415
    from cinesync.payment.gateways.stripe_setup import (  # noqa: PLC0415
        WEBHOOK_PATH,
        ensure_endpoint,
    )

    gateway = open_stripe(
        key,
        "",
        api_url=settings.get("STRIPE_API_URL", ""),
        timeout_seconds=STRIPE_SECONDS_MAX,
    )
    try:
        return await ensure_endpoint(gateway.client, f"{shop_url}{WEBHOOK_PATH}", renew=renew)
    except stripe.APIConnectionError as error:
        raise CommandError(
            "Stripe does not answer; whether anything changed is unknown."
        ) from error
    except stripe.StripeError as error:
        said = (error.user_message or str(error)).splitlines()[0]
        raise CommandError(f"Stripe refuses: {said}") from error
    finally:
        await gateway.close()
