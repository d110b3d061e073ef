"""What booking does with the events of other services: exactly once, in any order."""

from typing import Final

from cinesync.booking.bookings import receipt_store
from cinesync.booking.payments import returned_money
from cinesync.booking.payments import service as payments
from cinesync.booking.personal_data import service as personal_data
from cinesync.booking.show_changes import service as show_changes
from cinesync.chassis.messaging.inbox import Handlers
from cinesync.contracts.auth import CustomerErased
from cinesync.contracts.ledger import LedgerCommitted
from cinesync.contracts.movies import ShowCancelled, ShowChanged, ShowScheduled
from cinesync.contracts.payment import (
    PaymentDisputed,
    PaymentFailed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentSuccess,
)

HANDLERS: Final[Handlers] = {
    CustomerErased: personal_data.anonymize_customers,
    ShowScheduled: show_changes.schedule_shows,
    ShowChanged: show_changes.change_shows,
    ShowCancelled: show_changes.cancel_shows,
    PaymentSuccess: payments.confirm_bookings,
    PaymentFailed: payments.save_failures,
    PaymentRefunded: payments.count_refunds,
    PaymentRefundFailed: returned_money.subtract_failed_refunds,
    PaymentDisputed: returned_money.apply_disputes,
    LedgerCommitted: receipt_store.insert_receipts,
}
