"""Signing in by e-mail: new passwords are hashed here, between transactions."""

from dataclasses import dataclass

from cinesync.auth import link_service
from cinesync.auth.authenticator import Authenticator, Grant
from cinesync.auth.codes import hash_code
from cinesync.auth.model import (
    ActionLimits,
    Attempt,
    Fields,
    InvalidFields,
    LinkPurpose,
    fold_email,
)
from cinesync.auth.password_rules import fold_password
from cinesync.auth.passwords import Passwords
from cinesync.auth.secret_box import SecretBox
from cinesync.chassis.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRules:
    """How many may be asked for, and what a new password must not contain."""

    limits: ActionLimits
    shop_name: str


class SignInLinks:
    """One per process."""

    def __init__(
        self,
        db: Database,
        secret_box: SecretBox,
        passwords: Passwords,
        authenticator: Authenticator,
        rules: LinkRules,
    ) -> None:
        self._db = db
        self._secret_box = secret_box
        self._passwords = passwords
        self._authenticator = authenticator
        self._rules = rules

    async def request(self, email: str, purpose: LinkPurpose, address: str) -> None:
        """Mails a link to whoever owns the e-mail. Raises InvalidFields, TooMany."""
        fields = Fields()
        folded = fields.check("email", fold_email, email)
        fields.raise_if_wrong()
        attempt = Attempt(self._secret_box.account_key(folded.norm), address)
        await self._db.run(link_service.request, folded, purpose, attempt, self._rules.limits)

    async def use(self, code: str, password: str | None, address: str, device: str | None) -> Grant:
        """Raises LinkSpent, and for a new password InvalidFields, HashersBusy."""
        code_hash = hash_code(code)
        known = await self._db.read(link_service.owner, code_hash)
        new_hash = None
        if password is not None:
            if known.customer.role == "guest":
                raise InvalidFields({"password": "none; a guest has no password"})
            email = fold_email(known.customer.email)
            fields = Fields()
            folded = fields.check("password", fold_password, password, email, self._rules.shop_name)
            fields.raise_if_wrong()
            new_hash = await self._passwords.hash(folded)
        customer, token = await self._authenticator.use_link(code_hash, new_hash, address)
        return await self._authenticator.let_in(customer, token, device)
