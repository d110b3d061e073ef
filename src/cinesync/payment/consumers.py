"""The bus door: what makes this room give money back."""

from typing import Final

from cinesync.chassis.inbox import Handlers
from cinesync.contracts.booking import BookingCancelled, BookingReduced, BookingRefused
from cinesync.payment import service

HANDLERS: Final[Handlers] = {
    BookingRefused: service.refund_refused,
    BookingCancelled: service.refund_cancelled,
    BookingReduced: service.refund_cancelled,
}
