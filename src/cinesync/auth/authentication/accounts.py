"""Registers accounts and changes profiles; passwords are hashed between transactions."""

from dataclasses import dataclass, field
from uuid import UUID

from cinesync.auth import service
from cinesync.auth.authentication.authenticator import AccountRules, Authenticator
from cinesync.auth.authentication.concurrency_limit import ConcurrencyLimit
from cinesync.auth.credentials.password_rules import fold_password
from cinesync.auth.credentials.passwords import Passwords
from cinesync.auth.credentials.secret_box import SecretBox
from cinesync.auth.fields import Fields, fold_email, fold_name, fold_phone
from cinesync.auth.model import (
    Attempt,
    Credentials,
    Customer,
    EmailTaken,
    NewCustomer,
    WrongCredentials,
)
from cinesync.auth.revocations.published import PublishedRevocations
from cinesync.chassis import clock
from cinesync.chassis.audit_log import Actor
from cinesync.chassis.database import Database
from cinesync.chassis.problems import Forbidden

SIGN_UPS_AT_ONCE_MAX = 4  # per address: so many run before their accounts count against the limit


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChange:
    """The whole profile; `password` None keeps the current one."""

    name: str
    phone: str
    password: str | None = field(default=None, repr=False)
    current_password: str = field(default="", repr=False)


class Accounts:
    """One per process."""

    def __init__(
        self,
        db: Database,
        secret_box: SecretBox,
        passwords: Passwords,
        authenticator: Authenticator,
        rules: AccountRules,
        revocations: PublishedRevocations,
    ) -> None:
        self._db = db
        self._secret_box = secret_box
        self._passwords = passwords
        self._authenticator = authenticator
        self._rules = rules
        self._revocations = revocations
        self._sign_up_limit = ConcurrencyLimit(SIGN_UPS_AT_ONCE_MAX)

    async def register(
        self, email: str, password: str, name: str, phone: str, address: str
    ) -> Customer:
        """Raises InvalidFields, EmailTaken, TooMany, HashersBusy."""
        fields = Fields()
        folded_email = fields.check("email", fold_email, email)
        folded_password = fields.check(
            "password", fold_password, password, folded_email, self._rules.shop_name
        )
        folded_name = fields.check("name", fold_name, name)
        folded_phone = fields.check("phone", fold_phone, phone)
        fields.raise_if_wrong()
        attempt = Attempt(None, address)
        async with self._sign_up_limit.slot(address):
            await self._db.read(
                service.admit_sign_up, attempt, self._rules.failures, self._rules.sign_ups
            )
            applicant = NewCustomer(
                customer_id=clock.new_id(),
                region=self._rules.region,
                email=folded_email,
                name=folded_name,
                phone=folded_phone,
                role="customer",
                password_hash=await self._passwords.hash(folded_password),
            )
            try:
                by = Actor(applicant.role, applicant.customer_id, address)
                return await self._db.run(service.sign_up, applicant, by, attempt)
            except EmailTaken:
                await self._db.run(service.record_failure, attempt)
                raise

    async def profile(self, customer_id: UUID) -> Customer:
        """Raises NotFound."""
        return (await self._db.run_one(service.get_credentials, customer_id)).customer

    async def update_profile(
        self, customer_id: UUID, change: ProfileChange, address: str
    ) -> tuple[Customer, str | None]:
        """The new profile; after a change of password also the only refresh token left.

        Raises InvalidFields, NotFound, and for a new password WrongCredentials, Forbidden for a
        guest, TooMany, HashersBusy.
        """
        known = await self._db.run_one(service.get_credentials, customer_id)
        email = fold_email(known.customer.email)
        fields = Fields()
        name = fields.check("name", fold_name, change.name)
        phone = fields.check("phone", fold_phone, change.phone)
        password = None
        if change.password is not None:
            password = fields.check(
                "password", fold_password, change.password, email, self._rules.shop_name
            )
        fields.raise_if_wrong()
        token = None
        if password is not None:
            token = await self._change_password(known, change.current_password, password, address)
        customer = await self._db.run(service.update_profile, customer_id, name, phone)
        return customer, token

    async def _change_password(
        self, known: Credentials, current: str, password: str, address: str
    ) -> str:
        if known.password_hash is None:
            raise Forbidden("A guest has no password.")
        email = fold_email(known.customer.email)
        attempt = self._authenticator.attempt(email, address)
        verified = await self._authenticator.verify(attempt, email, current)
        new_hash = await self._passwords.hash(password)
        if not await self._db.run(service.change_password, verified, new_hash, address):
            raise WrongCredentials
        await self._revocations.refresh()
        changed = Credentials(known.customer, new_hash)
        token = await self._authenticator.open_session(changed, attempt)
        if token is None:
            raise WrongCredentials
        return self._secret_box.refresh_text(token)
