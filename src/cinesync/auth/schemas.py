"""Request and response bodies of the auth service."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from cinesync.auth.credentials.codes import CODE_LENGTH_MAX
from cinesync.auth.model import AccountRole, LinkPurpose

EmailText = Annotated[str, msgspec.Meta(description="One address, like name@example.org")]
PasswordText = Annotated[str, msgspec.Meta(description="8 to 128 characters of any kind")]
NameText = Annotated[str, msgspec.Meta(description="1 to 100 characters")]
PhoneText = Annotated[str, msgspec.Meta(description="6 to 15 digits, with a leading + if you like")]


class RegisterRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new account."""

    email: EmailText
    password: PasswordText
    name: NameText
    phone: PhoneText | None = None


class SignInRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The credentials of an account."""

    email: EmailText
    password: PasswordText


class GuestRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The e-mail that a guest's tickets are sent to."""

    email: EmailText


class ProfileUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole profile; a new password needs the current one."""

    name: NameText
    phone: PhoneText | None = None
    password: PasswordText | None = None
    current_password: PasswordText | None = None


class LinkRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A link for the owner of the e-mail: to sign in, or to erase all their data."""

    email: EmailText
    purpose: LinkPurpose = LinkPurpose.SIGN_IN


class LinkUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code of a mailed link. `password` sets a new one and ends all other sessions."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=CODE_LENGTH_MAX)]
    password: PasswordText | None = None


class Profile(msgspec.Struct, frozen=True):
    """An account as its owner sees it."""

    customer_id: UUID
    email: str
    name: str
    phone: str | None
    role: AccountRole
    created_at: datetime


class TokenResponse(msgspec.Struct, frozen=True):
    """RFC 6749 section 5.1; `expires_in` in seconds."""

    access_token: str
    expires_in: int
    token_type: str = "Bearer"  # noqa: S105 a name


class EraseWithPassword(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The account's password, once more."""

    password: PasswordText


class EraseWithCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The code of a mailed link (`POST /links` with `purpose` "erase")."""

    code: Annotated[str, msgspec.Meta(min_length=1, max_length=CODE_LENGTH_MAX)]
