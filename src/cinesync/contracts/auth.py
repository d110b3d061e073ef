"""What the auth service tells the others."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from cinesync.chassis.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerRegistered(Event):
    """Somebody has an account now. Carries no personal data."""

    name: ClassVar[str] = "customer.registered"

    customer_id: UUID
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerErased(Event):
    """An account and its personal data are gone; others forget what they copied."""

    name: ClassVar[str] = "customer.erased"

    customer_id: UUID
