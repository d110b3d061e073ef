"""Statements over what is counted although it succeeds: sign-ups, and links that were asked for."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from cinesync.auth.model import Attempt, ThrottledAction
from cinesync.chassis.database import Transaction, text


async def insert(
    tx: Transaction, action_id: UUID, action: ThrottledAction, attempt: Attempt
) -> None:
    """One more."""
    statement = text(
        "INSERT INTO throttled_actions (action_id, action, account_key, address) VALUES"
        " (CAST(:action_id AS uuid), CAST(:action AS text), CAST(:account_key AS text),"
        " CAST(:address AS text))"
    )
    values = {
        "action_id": action_id,
        "action": action,
        "account_key": attempt.account_key,
        "address": attempt.address,
    }
    await tx.execute(statement, values)


async def address_wait(
    tx: Transaction, action: ThrottledAction, address: str, actions_max: int, window: timedelta
) -> timedelta | None:
    """How long until fewer than `actions_max` from here lie in the window; None: no wait."""
    statement = text(
        "SELECT acted_at + CAST(:window AS interval) - now() AS wait FROM throttled_actions"
        " WHERE address = CAST(:address AS text) AND action = CAST(:action AS text)"
        " AND acted_at > now() - CAST(:window AS interval)"
        " ORDER BY acted_at DESC LIMIT 1 OFFSET CAST(:others AS bigint)"
    )
    values = {"address": address, "action": action, "others": actions_max - 1, "window": window}
    return (await tx.execute(statement, values)).scalar_one_or_none()


async def count_for_account(
    tx: Transaction, action: ThrottledAction, account_key: str, window: timedelta
) -> int:
    """How many lie in the window, wherever they came from."""
    statement = text(
        "SELECT count(*) AS actions FROM throttled_actions"
        " WHERE account_key = CAST(:account_key AS text) AND action = CAST(:action AS text)"
        " AND acted_at > now() - CAST(:window AS interval)"
    )
    values = {"account_key": account_key, "action": action, "window": window}
    return int((await tx.execute(statement, values)).one().actions)


async def find_old(
    tx: Transaction, after: UUID, limit: int, window: timedelta
) -> tuple[UUID | None, list[UUID]]:
    """A stretch of the table in key order: where it ended (None: at the end), and the old ones."""
    statement = text(
        "SELECT action_id, acted_at <= now() - CAST(:window AS interval) AS is_over"
        " FROM throttled_actions WHERE action_id > CAST(:after AS uuid)"
        " ORDER BY action_id ASC LIMIT CAST(:limit AS bigint)"
    )
    rows = (await tx.execute(statement, {"after": after, "limit": limit, "window": window})).all()
    reached = rows[-1].action_id if len(rows) == limit else None
    return reached, [row.action_id for row in rows if row.is_over]


async def delete(tx: Transaction, action_ids: Sequence[UUID]) -> None:
    """By id: what is old never becomes young again."""
    statement = text(
        "DELETE FROM throttled_actions WHERE action_id = ANY(CAST(:action_ids AS uuid[]))"
    )
    await tx.execute(statement, {"action_ids": list(action_ids)})
