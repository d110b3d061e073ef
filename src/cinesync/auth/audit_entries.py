"""Audit log entries about accounts and sessions.

They never contain a name, an e-mail or a phone, because they stay when an account is erased.
"""

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
    """A refresh token was used twice: by the owner or a thief, nobody can tell which."""
    return Entry(
        actor=Actor("unknown", None, address),
        action=AuthAuditAction.REFRESH_REUSED,
        object_kind="session",
        object_id=session_id,
        before={"customer_id": customer.customer_id, "role": customer.role},
        reason="two parties hold the tokens of this session; it has ended for both",
    )


def sign_in_failed(attempt: Attempt, known: Credentials | None) -> Entry:
    """An unknown e-mail is logged as a keyed hash: people type passwords into that field."""
    return Entry(
        actor=Actor("unknown", None, attempt.address),
        action=AuthAuditAction.SIGN_IN_FAILED,
        object_kind="account" if known else "email_hash",
        object_id=known.customer.customer_id if known else attempt.account_key or "",
        after={"role": known.customer.role} if known else None,
        reason="wrong password" if known else "no such account",
    )


def password_changed(customer: Customer, address: str) -> Entry:
    """The owner changed the password, and knew the current one."""
    return of_owner(AuthAuditAction.PASSWORD_CHANGED, customer, address)


def of_owner(action: AuthAuditAction, customer: Customer, address: str) -> Entry:
    """An action of an account's owner."""
    return Entry(
        actor=Actor(customer.role, customer.customer_id, address),
        action=action,
        object_kind="account",
        object_id=customer.customer_id,
    )


def by_operator(action: AuthAuditAction, customer_id: UUID) -> Entry:
    """An action from the command line, or at a start."""
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
