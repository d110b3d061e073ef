"""The auth service's commands and questions; each runs in its caller's transaction."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from cinesync.auth import store
from cinesync.auth.model import (
    Attempt,
    Credentials,
    Customer,
    EmailTaken,
    FailureLimits,
    NewCustomer,
    SessionRules,
    Step,
    refuse_if_throttled,
    step,
)
from cinesync.auth.vault import RefreshToken
from cinesync.chassis import clock, outbox
from cinesync.chassis.db import Transaction
from cinesync.chassis.problems import NotFound
from cinesync.contracts.auth import CustomerRegistered


@dataclass(frozen=True, slots=True)
class Continuation:
    """What became of a session: `customer` and `generation` only for a token that was good."""

    step: Step
    customer: Customer | None = None
    generation: int = 0


async def register(tx: Transaction, customer: NewCustomer) -> Customer:
    """A new account. Raises EmailTaken."""
    if not await store.claim_email(tx, customer):
        raise EmailTaken
    registered = await store.insert_customer(tx, customer)
    event = CustomerRegistered(
        event_id=clock.new_id(),
        occurred_at=clock.now(),
        customer_id=customer.customer_id,
        role=customer.role,
    )
    await outbox.append(tx, [event])
    return registered


async def ensure_account(tx: Transaction, customer: NewCustomer) -> Customer:
    """The account with this e-mail, made if missing.

    An existing one keeps its role and password: whoever registered a demo address first must not
    become a manager by it.
    """
    known = await store.find_credentials(tx, customer.email.norm)
    return known.customer if known else await register(tx, customer)


async def admit_guest(tx: Transaction, guest: NewCustomer) -> Customer:
    """Somebody who buys once. No e-mail is claimed: it may well be an account's."""
    return await store.insert_customer(tx, guest)


async def admit(tx: Transaction, attempt: Attempt, limits: FailureLimits) -> None:
    """Raises TooMany when this account or this address has failed too often lately."""
    waits: list[timedelta | None] = [
        await store.address_wait(tx, attempt.address, limits.per_address, limits.window)
    ]
    if attempt.account_key is not None:
        waits.append(
            await store.account_wait(tx, attempt.account_key, limits.per_account, limits.window)
        )
    refuse_if_throttled(waits)


async def admit_sign_in(
    tx: Transaction, attempt: Attempt, email_norm: str, limits: FailureLimits
) -> Credentials | None:
    """What to check the password against. Raises TooMany before anything is looked up."""
    await admit(tx, attempt, limits)
    return await store.find_credentials(tx, email_norm)


async def note_failure(tx: Transaction, attempt: Attempt) -> None:
    """It counts against the account and the address until it leaves the window."""
    await store.insert_failure(tx, clock.new_id(), attempt)


async def open_session(
    tx: Transaction, session_id: UUID, customer_id: UUID, attempt: Attempt, rules: SessionRules
) -> RefreshToken:
    """The first token of a new family; the owner's own mistakes are forgotten."""
    await store.forgive(tx, attempt)
    await store.insert_session(tx, session_id, customer_id, rules.idle_max)
    return RefreshToken(session_id, 1)


async def continue_session(
    tx: Transaction, token: RefreshToken, rules: SessionRules
) -> Continuation:
    """Use a refresh token once; what it meets is `model.step`'s to say."""
    session = await store.find_session(tx, token.session_id, rules.grace)
    if session is None:
        return Continuation(Step.REFUSE)
    next_step = step(session, token.generation)
    if next_step is Step.REVOKE:
        await store.revoke_session(tx, session.session_id)
    if next_step in {Step.REVOKE, Step.REFUSE}:
        return Continuation(next_step)
    owner = await store.find_credentials_by_id(tx, session.customer_id)
    if owner is None:
        return Continuation(Step.REFUSE)
    if next_step is Step.REPEAT:
        return Continuation(next_step, owner.customer, session.generation)
    if not await store.rotate_session(tx, session, rules.idle_max, rules.age_max):
        return Continuation(Step.REFUSE)
    return Continuation(next_step, owner.customer, session.generation + 1)


async def end_session(tx: Transaction, token: RefreshToken) -> None:
    """Sign out: any token of the family ends it."""
    await store.revoke_session(tx, token.session_id)


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


async def change_password(tx: Transaction, customer_id: UUID, old_hash: str, new_hash: str) -> bool:
    """Ends every session: whoever else had one has none. False: it was changed meanwhile."""
    if not await store.replace_password_hash(tx, customer_id, old_hash, new_hash):
        return False
    await store.revoke_sessions_of(tx, customer_id)
    return True
