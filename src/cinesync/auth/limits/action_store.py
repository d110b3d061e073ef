"""Statements over actions that count against a limit: sign-ups and requested links."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import BigInteger, Interval, bindparam, func, select
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into

from cinesync.auth.model import Attempt, ThrottledAction
from cinesync.auth.store import end_and_expired
from cinesync.auth.tables import throttled_actions
from cinesync.chassis.database import Transaction, any_of, binds, compiled

INSERT = compiled(
    insert_into(throttled_actions).values(binds("action_id", "action", "account_key", "address"))
)


async def insert(
    tx: Transaction, action_id: UUID, action: ThrottledAction, attempt: Attempt
) -> None:
    """Count an action."""
    values = {
        "action_id": action_id,
        "action": action,
        "account_key": attempt.account_key,
        "address": attempt.address,
    }
    await tx.execute(INSERT, values)


ADDRESS_WAIT = compiled(
    select((throttled_actions.c.acted_at + bindparam("window", type_=Interval)) - func.now())
    .where(
        throttled_actions.c.address == bindparam("address"),
        throttled_actions.c.action == bindparam("action"),
        throttled_actions.c.acted_at > func.now() - bindparam("window", type_=Interval),
    )
    .order_by(throttled_actions.c.acted_at.desc())
    .limit(1)
    .offset(bindparam("others", type_=BigInteger))
)


async def address_wait(
    tx: Transaction, action: ThrottledAction, address: str, actions_max: int, window: timedelta
) -> timedelta | None:
    """How long until the window has fewer than `actions_max` from this address; None: no wait."""
    values = {"address": address, "action": action, "others": actions_max - 1, "window": window}
    return (await tx.execute(ADDRESS_WAIT, values)).scalar_one_or_none()


COUNT_FOR_ACCOUNT = compiled(
    select(func.count().label("actions")).where(
        throttled_actions.c.account_key == bindparam("account_key"),
        throttled_actions.c.action == bindparam("action"),
        throttled_actions.c.acted_at > func.now() - bindparam("window", type_=Interval),
    )
)


async def count_for_account(
    tx: Transaction, action: ThrottledAction, account_key: str, window: timedelta
) -> int:
    """How many the window has for an account, from all addresses."""
    values = {"account_key": account_key, "action": action, "window": window}
    return int((await tx.execute(COUNT_FOR_ACCOUNT, values)).one().actions)


FIND_OLD = compiled(
    select(
        throttled_actions.c.action_id,
        (throttled_actions.c.acted_at <= func.now() - bindparam("window", type_=Interval)).label(
            "is_over"
        ),
    )
    .where(throttled_actions.c.action_id > bindparam("after"))
    .order_by(throttled_actions.c.action_id)
    .limit(bindparam("limit", type_=BigInteger))
)


async def find_old(
    tx: Transaction, after: UUID, limit: int, window: timedelta
) -> tuple[UUID | None, list[UUID]]:
    """A batch of rows in key order: its last id (None: no more), and the old ones."""
    rows = await tx.execute(FIND_OLD, {"after": after, "limit": limit, "window": window})
    return end_and_expired(rows, limit)


DELETE = compiled(
    delete_from(throttled_actions).where(any_of(throttled_actions.c.action_id, "action_ids"))
)


async def delete(tx: Transaction, action_ids: Sequence[UUID]) -> None:
    """Delete by id: an old action stays old."""
    await tx.execute(DELETE, {"action_ids": list(action_ids)})
