"""What the HTTP routes work with."""

from dataclasses import dataclass, field

from litestar.di import NamedDependency, Provide

from cinesync.chassis.database import Database
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.payment.payment_processor import PaymentProcessor


@dataclass(frozen=True, slots=True)
class PaymentContext:
    """One per process. A bank redirects its card holder back to `shop_url`."""

    db: Database
    processor: PaymentProcessor
    shop_url: str
    addresses: ClientAddresses = field(default_factory=lambda: ClientAddresses("", ""))

    def dependencies(self) -> dict[str, Provide]:
        """For a router whose handlers have a parameter `context`."""
        return {"context": Provide(lambda: self, sync_to_thread=False)}


ThePaymentContext = NamedDependency[PaymentContext]
