"""The bus door: what booking does about what happened elsewhere."""

from cinesync.booking import personal_data, receipts, returned_money, settling
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

HANDLERS: Handlers = {
    CustomerErased: personal_data.forget_customers,
    ShowScheduled: settling.schedule_shows,
    ShowChanged: settling.change_shows,
    ShowCancelled: settling.cancel_shows,
    PaymentSuccess: settling.confirm_bookings,
    PaymentFailed: settling.note_failures,
    PaymentRefunded: settling.note_refunds,
    PaymentRefundFailed: returned_money.note_failed_refunds,
    PaymentDisputed: returned_money.note_disputes,
    LedgerCommitted: receipts.insert,
}
