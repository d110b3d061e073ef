"""Domain events, one file per emitter: frozen, pure, past tense."""

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

# The map of the system: who must have seen an event before it counts as delivered. An emitter
# declares these queues itself, so that nothing is lost on consumers that have never started.
# A test holds it against every service's HANDLERS.
CONSUMERS: Mapping[type[Event], Sequence[str]] = {
    CustomerRegistered: (),
    LinkRequested: ("auth",),  # until a service for notifications sends mails
    CustomerErased: ("auth", "booking", "payment", "ledger"),
    ShowScheduled: ("booking",),
    ShowChanged: ("booking",),
    ShowCancelled: ("booking",),
    SeatsHeld: (),  # live seat maps listen, at most once
    SeatsReleased: (),  # the same
    BookingConfirmed: ("movies", "ledger"),
    BookingCancelled: ("movies", "payment", "ledger"),
    BookingReduced: ("movies", "payment", "ledger"),
    BookingRefused: ("payment", "ledger"),
    ShowRefundBegun: ("movies",),
    BookingRescheduled: (),  # for whoever writes to customers
    PaymentSuccess: ("booking", "ledger"),
    PaymentFailed: ("booking", "ledger"),
    PaymentRefunded: ("booking", "ledger"),
    PaymentRefundFailed: ("booking", "ledger"),
    PaymentDisputed: ("booking", "ledger"),
    LedgerCommitted: ("booking",),
}
