"""Event handlers: events to record in the chain, and customers to forget."""

from typing import Final

from cinesync.chassis.messaging.inbox import Handlers
from cinesync.contracts.auth import CustomerErased
from cinesync.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    BookingReduced,
    BookingRefused,
)
from cinesync.contracts.payment import (
    PaymentDisputed,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentSuccess,
)
from cinesync.ledger import service

HANDLERS: Final[Handlers] = {
    PaymentSuccess: service.record,
    PaymentFailed: service.record,
    PaymentRefunded: service.record,
    PaymentRefundFailed: service.record,
    PaymentDisputed: service.record,
    BookingConfirmed: service.record,
    BookingCancelled: service.record,
    BookingReduced: service.record,
    BookingRefused: service.record,
    CustomerErased: service.forget,
}
