"""What the auth service tells the others."""

from typing import ClassVar
from uuid import UUID

from cinesync.chassis.events import Event


class CustomerRegistered(Event, frozen=True, kw_only=True):
    """Somebody has an account now. Carries no personal data."""

    name: ClassVar[str] = "customer.registered"

    customer_id: UUID
    role: str


class CustomerErased(Event, frozen=True, kw_only=True):
    """An account and its personal data are gone; others forget what they copied."""

    name: ClassVar[str] = "customer.erased"

    customer_id: UUID
