"""Domain events, one module for each service that emits them: frozen, pure, in the past tense."""

from collections.abc import Mapping, Sequence

from cinesync.chassis.messaging.event import Event
from cinesync.contracts.auth import CustomerErased, CustomerRegistered, LinkRequested
from cinesync.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    BookingReduced,
    BookingRefused,
    BookingRescheduled,
    SeatsHeld,
    SeatsReleased,
    ShowRefundBegun,
)
from cinesync.contracts.ledger import LedgerCommitted
from cinesync.contracts.movies import ShowCancelled, ShowChanged, ShowScheduled
from cinesync.contracts.payment import (
    PaymentDisputed,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentSuccess,
)

# The services that consume each event. RabbitMQ's queues are declared from it before anything is
# published, so that no event misses a consumer that has never started. A test compares it with
# every service's HANDLERS.
CONSUMERS: Mapping[type[Event], Sequence[str]] = {
    CustomerRegistered: (),
    LinkRequested: ("auth",),  # it sends the mail itself
    CustomerErased: ("auth", "booking", "payment", "ledger"),
    ShowScheduled: ("booking",),
    ShowChanged: ("booking",),
    ShowCancelled: ("booking",),
    SeatsHeld: (),  # for live seat maps, which get it at most once
    SeatsReleased: (),  # the same
    BookingConfirmed: ("movies", "ledger"),
    BookingCancelled: ("movies", "payment", "ledger"),
    BookingReduced: ("movies", "payment", "ledger"),
    BookingRefused: ("payment", "ledger"),
    ShowRefundBegun: ("movies",),
    BookingRescheduled: (),  # for messages to customers
    PaymentSuccess: ("booking", "ledger"),
    PaymentFailed: ("booking", "ledger"),
    PaymentRefunded: ("booking", "ledger"),
    PaymentRefundFailed: ("booking", "ledger"),
    PaymentDisputed: ("booking", "ledger"),
    LedgerCommitted: ("booking",),
}
