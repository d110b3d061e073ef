"""Settings and wiring of the payment service."""

from dataclasses import dataclass
from typing import Annotated

from cinesync.chassis import settings as chassis_settings
from cinesync.chassis import telemetry
from cinesync.chassis.background import Loop
from cinesync.chassis.database import open_database
from cinesync.chassis.health import Intake
from cinesync.chassis.http.audit_log_api import audit_log_route
from cinesync.chassis.http.client import HttpClient
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.process import Service
from cinesync.chassis.settings import Secret
from cinesync.payment.context import PaymentContext
from cinesync.payment.event_handlers import HANDLERS
from cinesync.payment.gateways import PaymentGateway
from cinesync.payment.gateways.health import PROBE_SECONDS, ProviderHealth
from cinesync.payment.gateways.sandbox import SANDBOX, SandboxGateway
from cinesync.payment.gateways.stripe import open_stripe
from cinesync.payment.hold_client import HoldClient
from cinesync.payment.metrics import measures
from cinesync.payment.model import PaymentLimits, RetryPolicy
from cinesync.payment.payment_processor import PaymentProcessor
from cinesync.payment.personal_data.routes import personal_data_router
from cinesync.payment.reconciliation.catch_up import ProviderCatchUp
from cinesync.payment.reconciliation.reconciler import Reconciler
from cinesync.payment.routes import fast_paths, router
from cinesync.payment.staff_routes import staff_router
from cinesync.payment.webhook_routes import webhook_router

# https://docs.stripe.com/keys and https://docs.stripe.com/webhooks
STRIPE_API_KEY = Secret(bytes_min=0, prefixes=("sk_test_", "sk_live_", "rk_test_", "rk_live_"))
STRIPE_WEBHOOK_SECRET = Secret(prefixes=("whsec_",))
log = telemetry.get_logger(__name__)

LIMITED = ("payment_attempts_per_hold", "payment_failures_per_address", "refund_attempts_max")


@dataclass(frozen=True, slots=True)
class Settings:
    """Read from the environment under these names in upper case."""

    database_url: Annotated[str, "the payment service's own database"]
    booking_url: Annotated[str, "where the booking service answers"]
    bank_url: Annotated[
        str, "where the sandbox bank answers; empty, or with a real provider: no sandbox"
    ] = ""
    bank_secret: Annotated[
        str, "shared with the sandbox bank: its API key, signs webhooks", Secret()
    ] = ""
    stripe_secret_key: Annotated[str, "turns Stripe on, and the sandbox off", STRIPE_API_KEY] = ""
    stripe_webhook_secret: Annotated[str, "signs Stripe's webhooks", STRIPE_WEBHOOK_SECRET] = ""
    stripe_api_url: Annotated[str, "another address for Stripe's API, for tests"] = ""
    shop_url: Annotated[str, "where card holders come back to, e.g. https://shop.example"] = ""
    secret_key: Annotated[
        str, "signs the visitors' addresses that the storefront states", Secret()
    ] = ""
    visitor_key: Annotated[
        str,
        "proves whose address the storefront passes on; empty: derived from SECRET_KEY",
        Secret(),
    ] = ""
    trusted_proxies: Annotated[str, "addresses or CIDR blocks whose X-Forwarded-For we read"] = ""
    payment_attempts_per_hold: Annotated[
        int, "failed payments after which a hold takes no more"
    ] = 10
    payment_failures_per_address: Annotated[
        int, "failed payments from one address in the window, in each process"
    ] = 60
    payment_failure_window_seconds: Annotated[float, "how long a failed payment counts"] = 600.0
    provider_timeout_seconds: Annotated[float, "how long a provider may take to answer"] = 6.0
    booking_timeout_seconds: Annotated[float, "how long booking may take to answer"] = 5.0
    payment_first_check_seconds: Annotated[
        float, "a pending payment is polled for after so long"
    ] = 3.0
    payment_retry_seconds: Annotated[float, "and again, each pause longer by so much"] = 2.0
    payment_ask_before_seconds: Annotated[float, "and this long before its hold expires"] = 15.0
    payment_cancel_after_seconds: Annotated[
        float, "an unconfirmed charge is cancelled this long after the hold's end"
    ] = 60.0
    payment_absent_after_seconds: Annotated[
        float, "a payment that its provider does not know fails at this age"
    ] = 12.0
    refund_retry_seconds: Annotated[
        float, "pause before a refund is retried, each time twice as long, an hour at most"
    ] = 10.0
    refund_attempts_max: Annotated[int, "after so many a refund needs a person's attention"] = 12
    payment_catch_up_seconds: Annotated[
        float, "how often the provider's list of events is read for webhooks that never arrived"
    ] = 600.0
    payment_poll_seconds: Annotated[
        float, "how often the reconciler looks for due payments and refunds"
    ] = 0.5

    def __post_init__(self) -> None:
        self._check_secrets()
        self._check_limits()
        if self.payment_absent_after_seconds <= self.provider_timeout_seconds:
            raise chassis_settings.SettingsError(
                "PAYMENT_ABSENT_AFTER_SECONDS must exceed PROVIDER_TIMEOUT_SECONDS: a charge may"
                " still be on its way to the provider"
            )

    def _check_secrets(self) -> None:
        """Without its secret, a gateway would accept webhooks that anybody can forge."""
        if self.bank_url and not self.bank_secret:
            raise chassis_settings.SettingsError(
                "BANK_SECRET is not set; with BANK_URL the shop and the bank must share it"
            )
        if self.stripe_secret_key and not self.stripe_webhook_secret:
            raise chassis_settings.SettingsError(
                "STRIPE_WEBHOOK_SECRET is not set; Stripe shows it (whsec_…) beside the endpoint"
                " for its webhooks"
            )

    def _check_limits(self) -> None:
        for name in LIMITED:
            if getattr(self, name) < 1:
                raise chassis_settings.SettingsError(f"{name.upper()} must be at least 1")

    def limits(self) -> PaymentLimits:
        """How often a payment may fail."""
        return PaymentLimits(
            attempts_per_hold=self.payment_attempts_per_hold,
            failures_per_address=self.payment_failures_per_address,
            failure_window_seconds=self.payment_failure_window_seconds,
        )

    def retry_policy(self) -> RetryPolicy:
        """When the reconciler polls."""
        return RetryPolicy(
            first_check_seconds=self.payment_first_check_seconds,
            retry_seconds=self.payment_retry_seconds,
            ask_before_seconds=self.payment_ask_before_seconds,
            cancel_after_seconds=self.payment_cancel_after_seconds,
        )


def create(settings: Settings) -> Service:
    """The payment service."""
    db = open_database(settings.database_url, application="cinesync payment")
    holds = HoldClient(HttpClient(settings.booking_url, settings.booking_timeout_seconds))
    gateways = build_gateways(settings)
    intake = Intake()
    is_real = SANDBOX not in gateways
    log.info("payment.providers", providers=sorted(gateways), takes_real_money=is_real)
    processor = PaymentProcessor(
        db, gateways, holds, settings.retry_policy(), settings.limits(), intake
    )
    reconcilers = [
        Reconciler(
            db=db,
            gateway=gateway,
            processor=processor,
            retry_policy=settings.retry_policy(),
            refund_retry_seconds=settings.refund_retry_seconds,
            poll_seconds=settings.payment_poll_seconds,
            refund_attempts_max=settings.refund_attempts_max,
        )
        for gateway in gateways.values()
    ]
    pause_seconds = settings.payment_catch_up_seconds
    catch_ups = [
        ProviderCatchUp(gateway, processor, pause_seconds) for gateway in gateways.values()
    ]
    providers = [ProviderHealth(gateway) for gateway in gateways.values()]
    addresses = ClientAddresses(
        settings.trusted_proxies, settings.secret_key, key=settings.visitor_key
    )
    context = PaymentContext(db, processor, settings.shop_url, addresses)
    return Service(
        name="payment",
        database=db,
        routes=[
            router(context),
            webhook_router(context),
            staff_router(context),
            personal_data_router(db),
            audit_log_route("payment", db),
        ],
        fast_paths=fast_paths(context),
        migrations="cinesync.payment.migrations",
        handlers=HANDLERS,
        background=[
            *(
                Loop(f"payment.sweep.{reconciler.gateway.name}", reconciler.run)
                for reconciler in reconcilers
            ),
            *(
                Loop(f"payment.catch_up.{one.gateway.name}", one.run, pause_seconds)
                for one in catch_ups
            ),
            *(Loop(f"payment.provider.{one.name}", one.run, PROBE_SECONDS) for one in providers),
        ],
        checks={one.name: one.trouble for one in providers},
        vital=["payment.relay"],
        measures=measures(db),
        intake=intake,
        close=[processor.close, holds.close, *(gateway.close for gateway in gateways.values())],
    )


def build_gateways(settings: Settings) -> dict[str, PaymentGateway]:
    """The configured providers, by name.

    No sandbox beside a real provider: everybody knows its cards, and would get free tickets.
    """
    gateways: list[PaymentGateway] = []
    if settings.bank_url and not settings.stripe_secret_key:
        key = {"authorization": f"Bearer {settings.bank_secret}"}
        bank = HttpClient(settings.bank_url, settings.provider_timeout_seconds, key)
        gateways.append(
            SandboxGateway(bank, settings.bank_secret, settings.payment_absent_after_seconds)
        )
    if settings.stripe_secret_key:
        gateways.append(
            open_stripe(
                settings.stripe_secret_key,
                settings.stripe_webhook_secret,
                api_url=settings.stripe_api_url,
                timeout_seconds=settings.provider_timeout_seconds,
            )
        )
    return {gateway.name: gateway for gateway in gateways}
