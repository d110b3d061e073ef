"""Events of the auth service."""

from uuid import UUID

from cinesync.chassis.messaging.event import Event


class CustomerRegistered(Event, frozen=True, kw_only=True, tag="customer.registered"):
    """A customer registered. Carries no personal data."""

    customer_id: UUID
    role: str


class LinkRequested(Event, frozen=True, kw_only=True, tag="link.requested"):
    """A customer asked for a one-time link by e-mail.

    `purpose` is "sign_in" or "erase": the page that the link opens.
    """

    customer_id: UUID
    purpose: str = "sign_in"


class CustomerErased(Event, frozen=True, kw_only=True, tag="customer.erased"):
    """An account and its personal data were erased; consumers erase their copies."""

    customer_id: UUID
