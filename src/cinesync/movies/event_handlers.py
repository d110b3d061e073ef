"""The bus door: bookings change how many seats are left."""

from cinesync.chassis.messaging.inbox import Handlers
from cinesync.contracts.booking import BookingCancelled, BookingConfirmed, BookingReduced
from cinesync.movies import service

HANDLERS: Handlers = {
    BookingConfirmed: service.count_booked,
    BookingCancelled: service.count_cancelled,
    BookingReduced: service.count_cancelled,
}
