"""Commands over sign-in links, each in its caller's transaction.

A link is mailed to the account's e-mail, so its user reads the owner's mail. That is enough to sign
in despite strangers' failed attempts, and to set a new password. An e-mail without an account gets
a link to its latest guest purchase. The response to a request does not say which of them it was.
"""

from uuid import UUID

from cinesync.auth import audit_entries, staff_store, store
from cinesync.auth.credentials.secret_box import RefreshToken
from cinesync.auth.fields import Email
from cinesync.auth.limits import action_store
from cinesync.auth.links import store as link_store
from cinesync.auth.model import (
    ActionLimits,
    Attempt,
    AuthAuditAction,
    Credentials,
    Customer,
    LinkPurpose,
    LinkSpent,
    SessionRules,
    ThrottledAction,
    refuse_if_throttled,
)
from cinesync.auth.revocations import store as revocation_store
from cinesync.chassis import audit_log, clock
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.contracts.auth import LinkRequested


async def request(
    tx: Transaction, email: Email, purpose: LinkPurpose, attempt: Attempt, limits: ActionLimits
) -> None:
    """Have a link mailed, if a customer has this e-mail.

    Raises TooMany for an address that requests too many. An account that reached its limit gets no
    mail, without an error: strangers may request links for it, and must not learn anything.
    """
    action, window = ThrottledAction.LINK, limits.window
    refuse_if_throttled(
        await action_store.address_wait(tx, action, attempt.address, limits.per_address, window)
    )
    requested = await action_store.count_for_account(tx, action, attempt.account_key or "", window)
    await action_store.insert(tx, clock.new_id(), action, attempt)
    known = await store.find_credentials(tx, email)
    customer_id = known.customer.customer_id if known else await link_store.find_guest(tx, email)
    if customer_id is None or requested >= limits.per_account:
        return
    # Without the code: the handler makes it, so that only the mail contains it.
    event = LinkRequested(
        event_id=clock.new_id(), occurred_at=clock.now(), customer_id=customer_id, purpose=purpose
    )
    await outbox.append(tx, [event])


async def get_owner(tx: Transaction, code_hash: bytes) -> Credentials:
    """The customer of a link that can still be used. Raises LinkSpent."""
    customer_id = await link_store.find(tx, code_hash)
    known = await store.find_credentials_by_id(tx, customer_id) if customer_id else None
    if known is None:
        raise LinkSpent
    return known


async def use(
    tx: Transaction,
    code_hash: bytes,
    new_hash: str | None,
    session_id: UUID,
    address: str,
    rules: SessionRules,
) -> tuple[Customer, RefreshToken]:
    """Open a session for the owner, once, and set `new_hash` if there is one. Raises LinkSpent."""
    customer_id = await link_store.use(tx, code_hash)
    known = await store.find_credentials_by_id(tx, customer_id) if customer_id else None
    if known is None or customer_id is None:
        raise LinkSpent
    customer = known.customer
    if new_hash is not None:
        await staff_store.set_password(tx, customer_id, new_hash)
        await revocation_store.revoke_sessions_of(tx, customer_id)
        await link_store.delete_of(tx, customer_id)
        reset = audit_entries.of_owner(AuthAuditAction.PASSWORD_RESET, customer, address)
        await audit_log.append(tx, [reset])
    await store.insert_session(tx, session_id, customer_id, address, rules.idle_max)
    entry = audit_entries.signed_in(customer, session_id, address, reason="by e-mail link")
    await audit_log.append(tx, [entry])
    return customer, RefreshToken(session_id, 1)
