"""Statements over failed sign-ins and sign-ups, which make further attempts wait."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import BigInteger, Interval, Text, bindparam, delete, func, not_, select
from sqlalchemy.dialects.postgresql import insert

from cinesync.auth.model import Attempt
from cinesync.auth.store import end_and_expired
from cinesync.auth.tables import sign_in_failures
from cinesync.chassis.database import Transaction, any_of, binds, compiled

INSERT_FAILURE = compiled(
    insert(sign_in_failures).values(binds("failure_id", "account_key", "address"))
)


async def insert_failure(tx: Transaction, failure_id: UUID, attempt: Attempt) -> None:
    """Count a failure."""
    values = {
        "failure_id": failure_id,
        "account_key": attempt.account_key,
        "address": attempt.source,
    }
    await tx.execute(INSERT_FAILURE, values)


_IN_WINDOW = sign_in_failures.c.failed_at > func.now() - bindparam("window", type_=Interval)
_WAIT = (
    select(
        (sign_in_failures.c.failed_at + bindparam("window", type_=Interval) - func.now()).label(
            "wait"
        )
    )
    .where(_IN_WINDOW)
    .order_by(sign_in_failures.c.failed_at.desc())
    .limit(1)
    .offset(bindparam("others", type_=BigInteger))
)
ACCOUNT_WAIT = compiled(
    _WAIT.where(
        sign_in_failures.c.account_key == bindparam("account_key"),
        bindparam("here", type_=Text).is_(None)
        | (sign_in_failures.c.address == bindparam("here", type_=Text)),
    )
)


async def account_wait(
    tx: Transaction, attempt: Attempt, failures_max: int, window: timedelta, *, only_here: bool
) -> timedelta | None:
    """How long until the window has fewer than `failures_max` failures; None: no wait.

    With `only_here`, only failures from the attempt's own address or device count.
    """
    values = {
        "account_key": attempt.account_key,
        "here": attempt.source if only_here else None,
        "others": failures_max - 1,
        "window": window,
    }
    return (await tx.execute(ACCOUNT_WAIT, values)).scalar_one_or_none()


ADDRESS_WAIT = compiled(_WAIT.where(sign_in_failures.c.address == bindparam("address")))


async def address_wait(
    tx: Transaction, address: str, failures_max: int, window: timedelta
) -> timedelta | None:
    """The same for an address, whatever the account."""
    values = {"address": address, "others": failures_max - 1, "window": window}
    return (await tx.execute(ADDRESS_WAIT, values)).scalar_one_or_none()


FORGIVE = compiled(
    delete(sign_in_failures).where(
        sign_in_failures.c.account_key == bindparam("account_key"),
        sign_in_failures.c.address == bindparam("address"),
    )
)


async def forgive(tx: Transaction, attempt: Attempt) -> None:
    """Delete the failures of this account from this address or device: its owner mistyped."""
    await tx.execute(FORGIVE, {"account_key": attempt.account_key, "address": attempt.source})


FIND_OLD_FAILURES = compiled(
    select(sign_in_failures.c.failure_id, not_(_IN_WINDOW).label("is_over"))
    .where(sign_in_failures.c.failure_id > bindparam("after"))
    .order_by(sign_in_failures.c.failure_id)
    .limit(bindparam("limit", type_=BigInteger))
)


async def find_old_failures(
    tx: Transaction, after: UUID, limit: int, window: timedelta
) -> tuple[UUID | None, list[UUID]]:
    """A batch of rows in key order: its last id (None: no more), and the old ones."""
    values = {"after": after, "limit": limit, "window": window}
    return end_and_expired(await tx.execute(FIND_OLD_FAILURES, values), limit)


DELETE_FAILURES = compiled(
    delete(sign_in_failures).where(any_of(sign_in_failures.c.failure_id, "failure_ids"))
)


async def delete_failures(tx: Transaction, failure_ids: Sequence[UUID]) -> None:
    """Delete by id: an old failure stays old."""
    await tx.execute(DELETE_FAILURES, {"failure_ids": list(failure_ids)})
