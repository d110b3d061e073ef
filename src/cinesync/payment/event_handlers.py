"""The bus door: what makes this room give money back, and whom it must forget."""

from typing import Final

from cinesync.chassis.messaging.inbox import Handlers
from cinesync.contracts.auth import CustomerErased
from cinesync.contracts.booking import BookingCancelled, BookingReduced, BookingRefused
from cinesync.payment import personal_data, service

HANDLERS: Final[Handlers] = {
    CustomerErased: personal_data.forget_customers,
    BookingRefused: service.refund_refused,
    BookingCancelled: service.refund_cancelled,
    BookingReduced: service.refund_cancelled,
}
