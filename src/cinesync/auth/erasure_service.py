"""Commands that show a customer's data and erase it, each in its caller's transaction."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from cinesync.auth import audit_entries, erasure_store, link_store, revocation_store
from cinesync.auth.model import AuthAuditAction, Customer, LinkSpent
from cinesync.chassis import audit_log, clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.chassis.problems import NotFound
from cinesync.contracts.auth import CustomerErased


async def data_of(tx: Transaction, customer_id: UUID, account_key: str) -> dict[str, Any]:
    """All that auth keeps of a customer. Raises NotFound."""
    account = await erasure_store.account(tx, customer_id)
    if account is None:
        raise NotFound("This account is gone.")
    return {
        "account": account,
        "sessions": await erasure_store.sessions(tx, customer_id),
        "failed_sign_ins": await erasure_store.failures(tx, account_key),
        "sign_in_links": await erasure_store.links(tx, customer_id),
        "audit_log": await erasure_store.audit_entries_of(tx, customer_id),
    }


async def use_link(tx: Transaction, code_hash: bytes) -> None:
    """The mail has done its work. Raises LinkSpent when it had before."""
    if await link_store.use(tx, code_hash) is None:
        raise LinkSpent


async def erase(
    tx: Transaction,
    customers: Sequence[Customer],
    account_key: str,
    address: str,
    code_hash: bytes | None,
) -> None:
    """Forget these persons, who are one, here, and tell the others to. Raises LinkSpent."""
    if code_hash is not None:
        await use_link(tx, code_hash)
    customer_ids = [customer.customer_id for customer in customers]
    for customer_id in customer_ids:
        await revocation_store.revoke_sessions_of(tx, customer_id)
    erased = set(await erasure_store.anonymise(tx, customer_ids))
    await erasure_store.delete_traces(tx, customer_ids, account_key)
    gone = [customer for customer in customers if customer.customer_id in erased]
    await audit_log.append(
        tx, [audit_entries.of_owner(AuthAuditAction.ACCOUNT_ERASED, one, address) for one in gone]
    )
    events = [
        CustomerErased(
            event_id=clock.new_id(), occurred_at=clock.now(), customer_id=one.customer_id
        )
        for one in gone
    ]
    await outbox.append(tx, events)
