"""The bus door: what booking does about what happened elsewhere."""

from cinesync.booking import receipts, settling
from cinesync.chassis.inbox import Handlers
from cinesync.contracts.ledger import LedgerCommitted
from cinesync.contracts.movies import ShowCancelled, ShowChanged, ShowScheduled
from cinesync.contracts.payment import PaymentFailed, PaymentRefunded, PaymentSuccess

HANDLERS: Handlers = {
    ShowScheduled: settling.schedule_shows,
    ShowChanged: settling.change_shows,
    ShowCancelled: settling.cancel_shows,
    PaymentSuccess: settling.confirm_bookings,
    PaymentFailed: settling.note_failures,
    PaymentRefunded: settling.note_refunds,
    LedgerCommitted: receipts.insert,
}
