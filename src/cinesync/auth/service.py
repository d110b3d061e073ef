"""The auth service's commands; each runs in its caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from cinesync.auth import audit_entries, store
from cinesync.auth.credentials.secret_box import RefreshToken
from cinesync.auth.fields import Email
from cinesync.auth.limits import action_store, failure_store
from cinesync.auth.model import (
    ActionLimits,
    Attempt,
    Credentials,
    Customer,
    EmailTaken,
    FailureLimits,
    NewCustomer,
    RefreshDecision,
    SessionRules,
    ThrottledAction,
    decide_refresh,
    refuse_if_throttled,
)
from cinesync.auth.revocations import store as revocation_store
from cinesync.chassis import audit_log, clock
from cinesync.chassis.audit_log import OPERATOR, Actor
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.chassis.problems import NotFound
from cinesync.contracts.auth import CustomerRegistered


@dataclass(frozen=True, slots=True)
class Continuation:
    """The result of presenting a refresh token; `customer` is None when it was not valid."""

    decision: RefreshDecision
    customer: Customer | None = None
    generation: int = 0


async def register(tx: Transaction, customer: NewCustomer, by: Actor) -> Customer:
    """A new account. Raises EmailTaken."""
    if not await store.claim_email(tx, customer):
        raise EmailTaken
    registered = await store.insert_customers(tx, [customer])
    event = CustomerRegistered(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        customer_id=customer.customer_id,
        role=customer.role,
    )
    await outbox.append(tx, [event])
    entry = audit_entries.registered(customer.customer_id, customer.role, by)
    await audit_log.append(tx, [entry])
    return registered[customer.customer_id]


async def sign_up(tx: Transaction, customer: NewCustomer, by: Actor, attempt: Attempt) -> Customer:
    """A new account, which counts against its client's address. Raises EmailTaken."""
    registered = await register(tx, customer, by)
    await action_store.insert(tx, clock.new_id(), ThrottledAction.SIGN_UP, attempt)
    return registered


async def admit_sign_up(
    tx: Transaction, attempt: Attempt, failures: FailureLimits, sign_ups: ActionLimits
) -> None:
    """Raises TooMany when this address has failed or opened accounts too often lately."""
    await _refuse_throttled_address(tx, attempt, failures)
    action, most, window = ThrottledAction.SIGN_UP, sign_ups.per_address, sign_ups.window
    refuse_if_throttled(await action_store.address_wait(tx, action, attempt.address, most, window))


async def ensure_account(tx: Transaction, customer: NewCustomer) -> Customer:
    """The account with this e-mail, added if missing.

    An existing one keeps its role and password: a customer who registered a demo's e-mail first
    must not become a manager.
    """
    known = await store.find_credentials(tx, customer.email)
    return known.customer if known else await register(tx, customer, OPERATOR)


async def admit_guests(tx: Transaction, guests: Sequence[NewCustomer]) -> list[Customer]:
    """Add guests, in one batch. Their e-mails stay free: an account may have the same one."""
    admitted = await store.insert_customers(tx, guests)
    return [admitted[guest.customer_id] for guest in guests]


async def admit_sign_in(
    tx: Transaction, attempt: Attempt, email: Email, limits: FailureLimits
) -> Credentials | None:
    """The credentials to verify a password against; None: no account has this e-mail.

    On a known device, and at an address from which the owner signed in lately, only failures from
    there count: strangers who guess elsewhere cannot lock the owner out. Raises TooMany.
    """
    await _refuse_throttled_address(tx, attempt, limits)
    most, window = limits.per_account, limits.window
    is_known = attempt.device is not None
    wait = await failure_store.account_wait(tx, attempt, most, window, only_here=is_known)
    if wait and not is_known and await store.has_signed_in_from(tx, email, attempt.address):
        wait = await failure_store.account_wait(tx, attempt, most, window, only_here=True)
    refuse_if_throttled(wait)
    return await store.find_credentials(tx, email)


async def _refuse_throttled_address(
    tx: Transaction, attempt: Attempt, limits: FailureLimits
) -> None:
    refuse_if_throttled(
        await failure_store.address_wait(tx, attempt.source, limits.per_address, limits.window)
    )


async def record_failure(tx: Transaction, attempt: Attempt) -> None:
    """Count a failure against the account and the address."""
    await failure_store.insert_failure(tx, clock.new_id(), attempt)


async def fail_sign_in(tx: Transaction, attempt: Attempt, known: Credentials | None) -> None:
    """Record that a password was wrong, or that no account has the e-mail."""
    await record_failure(tx, attempt)
    await audit_log.append(tx, [audit_entries.sign_in_failed(attempt, known)])


async def open_session(
    tx: Transaction, session_id: UUID, verified: Credentials, attempt: Attempt, rules: SessionRules
) -> RefreshToken | None:
    """The first refresh token of a new session; deletes the owner's own failures.

    None: the password was changed after it was verified, so the session must not begin.
    """
    customer_id = verified.customer.customer_id
    known = await store.find_credentials_by_id(tx, customer_id)
    if known is None or known.password_hash != verified.password_hash:
        return None
    await failure_store.forgive(tx, attempt)
    await store.insert_session(tx, session_id, customer_id, attempt.address, rules.idle_max)
    entry = audit_entries.signed_in(known.customer, session_id, attempt.address)
    await audit_log.append(tx, [entry])
    return RefreshToken(session_id, 1)


async def continue_session(
    tx: Transaction, token: RefreshToken, rules: SessionRules, address: str
) -> Continuation:
    """Present a refresh token; `decide_refresh` says what happens."""
    session = await store.find_session(tx, token.session_id, rules.grace)
    if session is None:
        return Continuation(RefreshDecision.REFUSE)
    decision = decide_refresh(session, token.generation)
    owner = await store.find_credentials_by_id(tx, session.customer_id)
    if decision is RefreshDecision.REFUSE or owner is None:
        return Continuation(RefreshDecision.REFUSE)
    if decision is RefreshDecision.REVOKE:
        await revocation_store.revoke_session(tx, session.session_id)
        entry = audit_entries.refresh_reused(owner.customer, session.session_id, address)
        await audit_log.append(tx, [entry])
        return Continuation(decision)
    if decision is RefreshDecision.REPEAT:
        return Continuation(decision, owner.customer, session.generation)
    if not await store.rotate_session(tx, session, rules.idle_max, rules.age_max):
        return Continuation(RefreshDecision.REFUSE)
    return Continuation(decision, owner.customer, session.generation + 1)


async def end_session(tx: Transaction, session_id: UUID, address: str) -> None:
    """Sign out: any refresh token of the session ends it."""
    customer_id = await revocation_store.revoke_session(tx, session_id)
    owner = customer_id and await store.find_credentials_by_id(tx, customer_id)
    if owner:
        entry = audit_entries.signed_out(owner.customer, session_id, address)
        await audit_log.append(tx, [entry])


async def get_credentials(tx: Transaction, customer_id: UUID) -> Credentials:
    """Raises NotFound."""
    known = await store.find_credentials_by_id(tx, customer_id)
    if known is None:
        raise NotFound("This account does not exist any more.")
    return known


async def update_profile(
    tx: Transaction, customer_id: UUID, name: str, phone: str | None
) -> Customer:
    """Raises NotFound."""
    customer = await store.update_customer(tx, customer_id, name, phone)
    if customer is None:
        raise NotFound("This account does not exist any more.")
    return customer


async def change_password(
    tx: Transaction, verified: Credentials, new_hash: str, address: str
) -> bool:
    """Also ends every session. False: the password was changed after it was verified."""
    customer = verified.customer
    if not await store.replace_password_hash(
        tx, customer.customer_id, verified.password_hash or "", new_hash
    ):
        return False
    await revocation_store.revoke_sessions_of(tx, customer.customer_id)
    await audit_log.append(tx, [audit_entries.password_changed(customer, address)])
    return True
