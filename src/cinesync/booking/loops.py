"""What booking does in the background: cleanup, notices of new start times, refunds of shows."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from cinesync.booking import service
from cinesync.booking.admission import store as admission_store
from cinesync.booking.cancellation import show_refunds
from cinesync.booking.context import BookingContext
from cinesync.booking.held_limits import store as held_limits_store
from cinesync.booking.model import Terms
from cinesync.booking.show_changes import rescheduling
from cinesync.chassis import background, clock
from cinesync.chassis.background import Loop
from cinesync.chassis.database import Database

EXPIRY_GRACE_SECONDS: Final = 60
CLEANUP_PAUSE_SECONDS: Final = 10
BATCH_MAX: Final = 200
# Between full batches: after a rush, holds need the single-writer lock too.
BATCH_PAUSE_SECONDS: Final = 0.2
REFUSED_SCANS_KEPT: Final = timedelta(days=30)
NOTICES_PAUSE_SECONDS: Final = 2
REFUNDS_PAUSE_SECONDS: Final = 2
SHOW_REFUNDS_MAX: Final = 20


def background_loops(context: BookingContext) -> Sequence[Loop]:
    """All of them. Their names are in /health/ready."""
    db, terms = context.db, context.terms
    return [
        Loop("booking.live", context.hub.run),
        Loop("booking.sweep", partial(clean_up, db, terms), CLEANUP_PAUSE_SECONDS),
        Loop("booking.moves", partial(notify_customers, db, terms), NOTICES_PAUSE_SECONDS),
        Loop("booking.show_refunds", partial(refund_shows, db), REFUNDS_PAUSE_SECONDS),
    ]


async def clean_up(db: Database, terms: Terms) -> None:
    """Mark expired holds, forget the keys of ended ones, delete old refused scans; in bounded
    batches, until cancelled."""
    while True:
        expired = await db.run(service.expire_holds, EXPIRY_GRACE_SECONDS, BATCH_MAX)
        ended = await db.read(held_limits_store.find_ended, terms.release_pause_seconds, BATCH_MAX)
        if ended:
            await db.run(held_limits_store.forget_keys, ended)
        before = clock.first_id_of(clock.now() - REFUSED_SCANS_KEPT)
        deleted = await db.run(admission_store.delete_refused, before, BATCH_MAX)
        background.succeeded()
        is_full = BATCH_MAX in {expired, len(ended), deleted}
        await asyncio.sleep(BATCH_PAUSE_SECONDS if is_full else CLEANUP_PAUSE_SECONDS)


async def notify_customers(db: Database, terms: Terms) -> None:
    """Notify customers of shows that start at another time, in bounded batches; until cancelled."""
    while True:
        has_more = await db.run(rescheduling.notify_customers, terms, BATCH_MAX)
        background.succeeded()
        await asyncio.sleep(BATCH_PAUSE_SECONDS if has_more else NOTICES_PAUSE_SECONDS)


async def refund_shows(db: Database) -> None:
    """Continue unfinished refunds of shows, one page in each transaction; until cancelled."""
    while True:
        commands = await db.read(show_refunds.unfinished, SHOW_REFUNDS_MAX)
        for command in commands:
            await db.run(show_refunds.refund_show, command)
        background.succeeded()
        await asyncio.sleep(BATCH_PAUSE_SECONDS if commands else REFUNDS_PAUSE_SECONDS)
