"""Signs customers in by a mailed link; a new password is hashed between transactions."""

from dataclasses import dataclass

from cinesync.auth.authentication.authenticator import SIGN_INS, Authenticator, Grant
from cinesync.auth.credentials.codes import hash_code
from cinesync.auth.credentials.password_rules import fold_password
from cinesync.auth.credentials.passwords import Passwords
from cinesync.auth.credentials.secret_box import SecretBox
from cinesync.auth.fields import Fields, InvalidFields, fold_email
from cinesync.auth.links import service as link_service
from cinesync.auth.model import ActionLimits, Attempt, LinkPurpose, SessionRules
from cinesync.auth.revocations.published import PublishedRevocations
from cinesync.chassis import clock
from cinesync.chassis.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRules:
    """How many links may be requested, the sessions they open, and the shop's name."""

    limits: ActionLimits
    sessions: SessionRules
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
        revocations: PublishedRevocations,
    ) -> None:
        self._db = db
        self._secret_box = secret_box
        self._passwords = passwords
        self._authenticator = authenticator
        self._rules = rules
        self._revocations = revocations

    async def request(self, email: str, purpose: LinkPurpose, address: str) -> None:
        """Mail a link to the owner of the e-mail. Raises InvalidFields, TooMany."""
        fields = Fields()
        folded = fields.check("email", fold_email, email)
        fields.raise_if_wrong()
        attempt = Attempt(self._secret_box.account_key(folded.norm), address)
        await self._db.run(link_service.request, folded, purpose, attempt, self._rules.limits)

    async def use(self, code: str, password: str | None, address: str, device: str | None) -> Grant:
        """Open a session, and set a new password if there is one.

        Raises LinkSpent, and for a new password InvalidFields, HashersBusy.
        """
        code_hash = hash_code(code)
        known = await self._db.read(link_service.get_owner, code_hash)
        new_hash = None
        if password is not None:
            if known.customer.role == "guest":
                raise InvalidFields({"password": "none; a guest has no password"})
            email = fold_email(known.customer.email)
            fields = Fields()
            folded = fields.check("password", fold_password, password, email, self._rules.shop_name)
            fields.raise_if_wrong()
            new_hash = await self._passwords.hash(folded)
        customer, token = await self._db.run(
            link_service.use, code_hash, new_hash, clock.new_id(), address, self._rules.sessions
        )
        if new_hash is not None:
            await self._revocations.refresh()
        SIGN_INS.labels("let in by link").inc()
        return await self._authenticator.grant_session(customer, token, device)
