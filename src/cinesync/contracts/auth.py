"""What the auth service tells the others."""

from typing import ClassVar
from uuid import UUID

from cinesync.chassis.messaging.event import Event


class CustomerRegistered(Event, frozen=True, kw_only=True):
    """Somebody has an account now. Carries no personal data."""

    name: ClassVar[str] = "customer.registered"

    customer_id: UUID
    role: str


class LinkRequested(Event, frozen=True, kw_only=True):
    """Somebody wants a link mailed to `customer_id` that lets them in once.

    `purpose` is "sign_in" or "erase": which page the mail leads to.
    """

    name: ClassVar[str] = "link.requested"

    customer_id: UUID
    purpose: str = "sign_in"


class CustomerErased(Event, frozen=True, kw_only=True):
    """An account and its personal data are gone; others forget what they copied."""

    name: ClassVar[str] = "customer.erased"

    customer_id: UUID
