"""Reads a customer's data and erases it, each in its caller's transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from cinesync.auth import audit_entries
from cinesync.auth.links import store as link_store
from cinesync.auth.model import AuthAuditAction, Customer, LinkSpent
from cinesync.auth.personal_data import store as erasure_store
from cinesync.auth.revocations import store as revocation_store
from cinesync.chassis import audit_log, clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.chassis.problems import NotFound
from cinesync.contracts.auth import CustomerErased


async def data_of(tx: Transaction, customer_id: UUID, account_key: str) -> dict[str, Any]:
    """All data that auth stores about a customer. Raises NotFound."""
    account = await erasure_store.account(tx, customer_id)
    if account is None:
        raise NotFound("This account does not exist any more.")
    return {
        "account": account,
        "sessions": await erasure_store.sessions(tx, customer_id),
        "failed_sign_ins": await erasure_store.failures(tx, account_key),
        "sign_in_links": await erasure_store.links(tx, customer_id),
        "audit_log": await erasure_store.audit_entries_of(tx, customer_id),
    }


async def erase(
    tx: Transaction,
    customers: Sequence[Customer],
    account_key: str,
    address: str,
    code_hash: bytes | None,
) -> None:
    """Erase an account and guests of one person, and have the other services do so.

    `code_hash` is that of the mailed link, if there is one. Raises LinkSpent.
    """
    if code_hash is not None and await link_store.use(tx, code_hash) is None:
        raise LinkSpent
    customer_ids = [customer.customer_id for customer in customers]
    for customer_id in customer_ids:
        await revocation_store.revoke_sessions_of(tx, customer_id)
    erased = set(await erasure_store.anonymise(tx, customer_ids))
    await erasure_store.delete_traces(tx, customer_ids, account_key)
    newly_erased = [customer for customer in customers if customer.customer_id in erased]
    action = AuthAuditAction.ACCOUNT_ERASED
    await audit_log.append(
        tx, [audit_entries.of_owner(action, customer, address) for customer in newly_erased]
    )
    events = [
        CustomerErased(
            event_id=clock.new_id(), occurred_at=clock.now(), customer_id=customer.customer_id
        )
        for customer in newly_erased
    ]
    await outbox.append(tx, events)
