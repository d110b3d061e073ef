"""Events that payment consumes: bookings to refund, customers to anonymize."""

from typing import Final

from cinesync.chassis.messaging.inbox import Handlers
from cinesync.contracts.auth import CustomerErased
from cinesync.contracts.booking import BookingCancelled, BookingReduced, BookingRefused
from cinesync.payment.personal_data import service as personal_data_service
from cinesync.payment.refunds import service as refund_service

HANDLERS: Final[Handlers] = {
    CustomerErased: personal_data_service.anonymize_payments,
    BookingRefused: refund_service.refund_bookings,
    BookingCancelled: refund_service.refund_bookings,
    BookingReduced: refund_service.refund_bookings,
}
