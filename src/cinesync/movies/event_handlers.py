"""Bookings change how many seats are left; a refunded show is cancelled."""

from cinesync.chassis.messaging.inbox import Handlers
from cinesync.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    BookingReduced,
    ShowRefundBegun,
)
from cinesync.movies import service

HANDLERS: Handlers = {
    BookingConfirmed: service.count_booked,
    BookingCancelled: service.count_cancelled,
    BookingReduced: service.count_cancelled,
    ShowRefundBegun: service.cancel_refunded,
}
