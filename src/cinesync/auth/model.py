"""Accounts, limits, and the lifetimes of sessions and keys. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Literal, TypeVar
from uuid import UUID

from cinesync.auth.fields import Email
from cinesync.chassis.problems import Problem, TooMany

AccountRole = Literal["customer", "guest", "staff", "manager", "auditor"]


class AuthAuditAction(StrEnum):
    """The actions in this service's audit log."""

    ACCOUNT_REGISTERED = "account.registered"
    SIGNED_IN = "session.signed_in"
    SIGN_IN_FAILED = "session.sign_in_failed"
    SIGNED_OUT = "session.signed_out"
    REFRESH_REUSED = "session.refresh_token_reused"
    PASSWORD_CHANGED = "account.password_changed"  # noqa: S105 an action
    PASSWORD_RESET = "account.password_reset"  # noqa: S105 an action
    PASSWORD_RETIRED = "account.password_retired"  # noqa: S105 an action
    ACCOUNT_DISABLED = "account.disabled"
    ACCOUNT_ERASED = "account.erased"


class AuthError(Problem):
    """Something went wrong with your account."""


class WrongCredentials(AuthError):
    """The e-mail or the password is not right."""

    status = 401


class SessionOver(AuthError):
    """This session has ended; please sign in again."""

    status = 401


class EmailTaken(AuthError):
    """There is already an account with this e-mail."""

    status = 409


class LinkSpent(AuthError):
    """This link was used already, or it is too old; please request a new one."""

    status = 401


class UnfinishedMatters(AuthError):
    """You hold seats, have tickets for a future show, or have a payment or refund in progress."""

    status = 409

    def __init__(self, items: Sequence[Mapping[str, object]]) -> None:
        super().__init__(
            "Cancel what you do not need, or wait until it is over; then erase your account.",
            unfinished=list(items),
        )


class ForeignOrigin(AuthError):
    """A page of another site sent this request; it was refused."""

    status = 403


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """An account, or a guest: a customer without a password."""

    customer_id: UUID
    region: str
    email: str
    name: str
    phone: str | None
    role: AccountRole
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCustomer:
    """A customer to add; a guest has no password."""

    customer_id: UUID
    region: str
    email: Email
    name: str
    phone: str | None
    role: AccountRole
    password_hash: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What sign-in reads of an account."""

    customer: Customer
    password_hash: str | None = field(repr=False)


# --- Limits -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to sign in or up. `account_key` is a keyed hash of the typed e-mail.

    `device` is a browser in which this account's owner has signed in before. Its failures count
    separately, so that strangers' failures cannot lock the owner out.
    """

    account_key: str | None
    address: str
    device: UUID | None = None

    @property
    def source(self) -> str:
        """The device or address that failures count against."""
        return f"device {self.device}" if self.device else self.address


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLimits:
    """How many failures within `window` are allowed before attempts are refused."""

    per_account: int
    per_address: int
    window: timedelta


class LinkPurpose(StrEnum):
    """The page that a mailed link leads to. The code permits both."""

    SIGN_IN = "sign_in"
    ERASE = "erase"


class ThrottledAction(StrEnum):
    """Actions that count against a limit although they succeed."""

    SIGN_UP = "sign_up"
    LINK = "link"


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionLimits:
    """How many actions within `window` are allowed."""

    per_address: int
    per_account: int
    window: timedelta


def refuse_if_throttled(wait: timedelta | None) -> None:
    """Raises TooMany when there is a wait."""
    if wait is not None:
        raise TooMany(retry_after_seconds=max(1, math.ceil(wait.total_seconds())))


# --- Sessions: a refresh token is valid once --------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSession:
    """A family of refresh tokens. The database's clock decides `is_alive` and `just_rotated`."""

    session_id: UUID
    customer_id: UUID
    generation: int
    is_alive: bool
    just_rotated: bool


class RefreshDecision(Enum):
    """The response to a refresh token."""

    ROTATE = "the next token"
    REPEAT = "the current token again: the response that carried it was lost"
    REVOKE = "an error; the session ends, because two parties have its tokens"
    REFUSE = "an error; the session has ended"


def decide_refresh(session: AuthSession, generation: int) -> RefreshDecision:
    """Refresh token rotation (RFC 9700 section 4.14.2).

    A token may be sent again for a short time, because a response can get lost. That is safe: the
    response holds the same successor, never a second one, and only until the successor is used. A
    thief and the owner cannot both continue, because the later one presents an old token.
    """
    if not session.is_alive:
        return RefreshDecision.REFUSE
    if generation == session.generation:
        return RefreshDecision.ROTATE
    if generation == session.generation - 1 and session.just_rotated:
        return RefreshDecision.REPEAT
    return RefreshDecision.REVOKE


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRules:
    """A session ends `idle_max` after its last use, and `age_max` after its first at the latest.

    `grace` is the time in which the previous refresh token may be sent again.
    """

    idle_max: timedelta
    age_max: timedelta
    grace: timedelta


# --- Signing keys -----------------------------------------------------------------------------

CLOCK_SKEW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyWindow:
    """When the `number`-th key signs, and when its last token expires."""

    number: int
    signs_from: datetime
    signs_until: datetime
    verifies_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRules:
    """A key signs for `lifetime`; it is published `ahead` of that, so that caches have it."""

    lifetime: timedelta
    ahead: timedelta
    token_lifetime_max: timedelta


def plan_key(
    all_keys: Sequence[KeyWindow], own: Sequence[KeyWindow], now: datetime, rules: KeyRules
) -> KeyWindow | None:
    """The window of the key to make now, if one is due.

    `own` are the keys whose private half this process can decrypt. Number and window follow from
    the rows: two processes plan the same key, and the primary key lets one of them insert it.
    """
    runs_until = max((key.signs_until for key in own), default=now)
    if runs_until > now + rules.ahead:
        return None
    signs_from = max(runs_until, now)
    signs_until = signs_from + rules.lifetime
    return KeyWindow(
        number=1 + max((key.number for key in all_keys), default=0),
        signs_from=signs_from,
        signs_until=signs_until,
        verifies_until=signs_until + rules.token_lifetime_max + CLOCK_SKEW,
    )


W = TypeVar("W", bound=KeyWindow)


def signing_key(own: Sequence[W], now: datetime) -> W | None:
    """The newest key that may sign now."""
    ready = [key for key in own if key.signs_from - CLOCK_SKEW <= now < key.signs_until]
    return max(ready, key=lambda key: key.signs_from, default=None)
