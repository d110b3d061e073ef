"""The auth service's commands and questions; each runs in its caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from cinesync.auth import action_store, audit_entries, revocation_store, store
from cinesync.auth.model import (
    ActionLimits,
    Attempt,
    Credentials,
    Customer,
    Email,
    EmailTaken,
    FailureLimits,
    NewCustomer,
    SessionRules,
    Step,
    ThrottledAction,
    refuse_if_throttled,
    step,
)
from cinesync.auth.secret_box import RefreshToken
from cinesync.chassis import audit_log, clock
from cinesync.chassis.audit_log import OPERATOR, Actor
from cinesync.chassis.database import Transaction
from cinesync.chassis.messaging import outbox
from cinesync.chassis.problems import NotFound
from cinesync.contracts.auth import CustomerRegistered


@dataclass(frozen=True, slots=True)
class Continuation:
    """What became of a session: `customer` and `generation` only for a token that was good."""

    step: Step
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
    """A new account that counts against the address it was opened from. Raises EmailTaken."""
    registered = await register(tx, customer, by)
    await action_store.insert(tx, clock.new_id(), ThrottledAction.SIGN_UP, attempt)
    return registered


async def admit_sign_up(
    tx: Transaction, attempt: Attempt, failures: FailureLimits, sign_ups: ActionLimits
) -> None:
    """Raises TooMany when this address has failed, or has opened accounts, too often lately."""
    await admit(tx, attempt, failures)
    action, most, window = ThrottledAction.SIGN_UP, sign_ups.per_address, sign_ups.window
    refuse_if_throttled(await action_store.address_wait(tx, action, attempt.address, most, window))


async def ensure_account(tx: Transaction, customer: NewCustomer) -> Customer:
    """The account with this e-mail, made if missing.

    An existing one keeps its role and password: whoever registered a demo address first must not
    become a manager by it.
    """
    known = await store.find_credentials(tx, customer.email)
    return known.customer if known else await register(tx, customer, OPERATOR)


async def admit_guests(tx: Transaction, guests: Sequence[NewCustomer]) -> list[Customer]:
    """People who buy once. No e-mail is claimed: it may well be an account's."""
    admitted = await store.insert_customers(tx, guests)
    return [admitted[guest.customer_id] for guest in guests]


async def admit(tx: Transaction, attempt: Attempt, limits: FailureLimits) -> None:
    """Raises TooMany when this address has failed too often lately."""
    refuse_if_throttled(
        await store.address_wait(tx, attempt.source, limits.per_address, limits.window)
    )


async def admit_sign_in(
    tx: Transaction, attempt: Attempt, email: Email, limits: FailureLimits
) -> Credentials | None:
    """What to check the password against. Raises TooMany for the address or the account.

    Where the account's owner signed in lately, and on a device that they signed in on, only
    failures from there count: strangers who guess elsewhere cannot lock them out.
    """
    await admit(tx, attempt, limits)
    most, window = limits.per_account, limits.window
    is_known = attempt.device is not None
    wait = await store.account_wait(tx, attempt, most, window, only_here=is_known)
    if wait and not is_known and await store.has_signed_in_from(tx, email, attempt.address):
        wait = await store.account_wait(tx, attempt, most, window, only_here=True)
    refuse_if_throttled(wait)
    return await store.find_credentials(tx, email)


async def note_failure(tx: Transaction, attempt: Attempt) -> None:
    """It counts against the account and the address until it leaves the window."""
    await store.insert_failure(tx, clock.new_id(), attempt)


async def fail_sign_in(tx: Transaction, attempt: Attempt, known: Credentials | None) -> None:
    """A password was wrong, or there was no such account."""
    await note_failure(tx, attempt)
    await audit_log.append(tx, [audit_entries.sign_in_failed(attempt, known)])


async def open_session(
    tx: Transaction, session_id: UUID, proven: Credentials, attempt: Attempt, rules: SessionRules
) -> RefreshToken | None:
    """The first token of a new family; the owner's own mistakes are forgotten.

    None: the password was changed after it was verified, and this session would outlive that.
    """
    customer_id = proven.customer.customer_id
    known = await store.find_credentials_by_id(tx, customer_id)
    if known is None or known.password_hash != proven.password_hash:
        return None
    await store.forgive(tx, attempt)
    await store.insert_session(tx, session_id, customer_id, attempt.address, rules.idle_max)
    entry = audit_entries.signed_in(known.customer, session_id, attempt.address)
    await audit_log.append(tx, [entry])
    return RefreshToken(session_id, 1)


async def continue_session(
    tx: Transaction, token: RefreshToken, rules: SessionRules, address: str
) -> Continuation:
    """Use a refresh token once; what it meets is `model.step`'s to say."""
    session = await store.find_session(tx, token.session_id, rules.grace)
    if session is None:
        return Continuation(Step.REFUSE)
    next_step = step(session, token.generation)
    owner = await store.find_credentials_by_id(tx, session.customer_id)
    if next_step is Step.REFUSE or owner is None:
        return Continuation(Step.REFUSE)
    if next_step is Step.REVOKE:
        await revocation_store.revoke_session(tx, session.session_id)
        entry = audit_entries.refresh_reused(owner.customer, session.session_id, address)
        await audit_log.append(tx, [entry])
        return Continuation(next_step)
    if next_step is Step.REPEAT:
        return Continuation(next_step, owner.customer, session.generation)
    if not await store.rotate_session(tx, session, rules.idle_max, rules.age_max):
        return Continuation(Step.REFUSE)
    return Continuation(next_step, owner.customer, session.generation + 1)


async def end_session(tx: Transaction, session_id: UUID, address: str) -> None:
    """Sign out: any token of the family ends it."""
    customer_id = await revocation_store.revoke_session(tx, session_id)
    owner = customer_id and await store.find_credentials_by_id(tx, customer_id)
    if owner:
        entry = audit_entries.signed_out(owner.customer, session_id, address)
        await audit_log.append(tx, [entry])


async def get_credentials(tx: Transaction, customer_id: UUID) -> Credentials:
    """Raises NotFound."""
    known = await store.find_credentials_by_id(tx, customer_id)
    if known is None:
        raise NotFound("This account is gone.")
    return known


async def update_profile(
    tx: Transaction, customer_id: UUID, name: str, phone: str | None
) -> Customer:
    """Raises NotFound."""
    customer = await store.update_customer(tx, customer_id, name, phone)
    if customer is None:
        raise NotFound("This account is gone.")
    return customer


async def change_password(
    tx: Transaction, proven: Credentials, new_hash: str, address: str
) -> bool:
    """Ends every session: whoever else had one has none. False: it was changed meanwhile."""
    customer = proven.customer
    if not await store.replace_password_hash(
        tx, customer.customer_id, proven.password_hash or "", new_hash
    ):
        return False
    await revocation_store.revoke_sessions_of(tx, customer.customer_id)
    await audit_log.append(tx, [audit_entries.password_changed(customer, address)])
    return True
