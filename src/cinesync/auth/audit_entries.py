"""What the audit log says of accounts and sessions. Names, e-mails and phones never stand in it:
it is kept when an account is erased."""

from dataclasses import replace
from uuid import UUID

from cinesync.auth.model import Attempt, AuthAuditAction, Credentials, Customer
from cinesync.chassis.audit_log import OPERATOR, Actor, Entry


def registered(customer_id: UUID, role: str, by: Actor) -> Entry:
    """A new account."""
    return Entry(
        actor=by,
        action=AuthAuditAction.ACCOUNT_REGISTERED,
        object_kind="account",
        object_id=customer_id,
        after={"role": role},
    )


def signed_in(customer: Customer, session_id: UUID, address: str, reason: str = "") -> Entry:
    """A new session."""
    entry = _of_session(AuthAuditAction.SIGNED_IN, customer, session_id, address)
    return replace(entry, reason=reason)


def signed_out(customer: Customer, session_id: UUID, address: str) -> Entry:
    """The end of a session."""
    return _of_session(AuthAuditAction.SIGNED_OUT, customer, session_id, address)


def refresh_reused(customer: Customer, session_id: UUID, address: str) -> Entry:
    """A refresh token came twice: the owner or a thief, nobody can tell which."""
    return Entry(
        actor=Actor("unknown", None, address),
        action=AuthAuditAction.REFRESH_REUSED,
        object_kind="session",
        object_id=session_id,
        before={"customer_id": customer.customer_id, "role": customer.role},
        reason="two parties hold the tokens of this session; it has ended for both",
    )


def sign_in_failed(attempt: Attempt, known: Credentials | None) -> Entry:
    """Of an e-mail that has no account only a keyed hash: people type passwords there."""
    return Entry(
        actor=Actor("unknown", None, attempt.address),
        action=AuthAuditAction.SIGN_IN_FAILED,
        object_kind="account" if known else "email_hash",
        object_id=known.customer.customer_id if known else attempt.account_key or "",
        after={"role": known.customer.role} if known else None,
        reason="wrong password" if known else "no such account",
    )


def password_changed(customer: Customer, address: str) -> Entry:
    """By its owner, who knew the old one."""
    return of_owner(AuthAuditAction.PASSWORD_CHANGED, customer, address)


def of_owner(action: AuthAuditAction, customer: Customer, address: str) -> Entry:
    """What an account's owner did to it."""
    return Entry(
        actor=Actor(customer.role, customer.customer_id, address),
        action=action,
        object_kind="account",
        object_id=customer.customer_id,
    )


def by_operator(action: AuthAuditAction, customer_id: UUID) -> Entry:
    """What somebody at the machine's command line did to an account, or its own start."""
    return Entry(actor=OPERATOR, action=action, object_kind="account", object_id=customer_id)


def _of_session(
    action: AuthAuditAction, customer: Customer, session_id: UUID, address: str
) -> Entry:
    return Entry(
        actor=Actor(customer.role, customer.customer_id, address),
        action=action,
        object_kind="session",
        object_id=session_id,
    )
