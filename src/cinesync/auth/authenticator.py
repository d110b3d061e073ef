"""Where people are let in: hashing happens here, between transactions, never inside one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID
from weakref import WeakValueDictionary

from prometheus_client import Counter

from cinesync.auth import link_service, revocation_store, service, store
from cinesync.auth.model import (
    PASSWORD_LENGTH_MAX,
    AccountRole,
    ActionLimits,
    Attempt,
    Credentials,
    Customer,
    Email,
    EmailTaken,
    FailureLimits,
    Fields,
    InvalidFields,
    NewCustomer,
    SessionOver,
    SessionRules,
    Step,
    WrongCredentials,
    fold_email,
    fold_name,
    fold_phone,
)
from cinesync.auth.password_rules import fold_password
from cinesync.auth.passwords import HashersBusy, Passwords
from cinesync.auth.published_revocations import PublishedRevocations
from cinesync.auth.secret_box import Device, RefreshToken, SecretBox
from cinesync.auth.signing_keys import SigningKeys
from cinesync.chassis import clock, telemetry
from cinesync.chassis.audit_log import Actor
from cinesync.chassis.batcher import Batcher
from cinesync.chassis.database import Database
from cinesync.chassis.http.security.access_tokens import Caller
from cinesync.chassis.problems import Forbidden, Problem

INSIDE_MAX = 2_000
SIGN_UPS_AT_ONCE_MAX = 4  # from one address; as many may pass a limit while they are under way
PROOFS_MAX = 2  # the hash may be renewed by another sign-in, with the same password

log = telemetry.get_logger(__name__)

SIGN_INS = Counter("cinesync_auth_sign_ins_total", "Attempts to sign in.", ["outcome"])
REFRESHES = Counter("cinesync_auth_refreshes_total", "Refresh tokens presented.", ["step"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the settings decide."""

    region: str
    shop_name: str
    access_lifetime: timedelta
    guest_lifetime: timedelta
    sessions: SessionRules
    failures: FailureLimits
    sign_ups: ActionLimits
    device_lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Grant:
    """`access` is good for `lifetime`; `refresh_token` and `device` go into cookies."""

    access: Caller = field(repr=False)
    lifetime: timedelta
    refresh_token: str | None = field(default=None, repr=False)
    device: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileChange:
    """The whole profile; `password` None keeps the old one."""

    name: str
    phone: str
    password: str | None = field(default=None, repr=False)
    current_password: str = field(default="", repr=False)


class ConcurrencyLimit:
    """Lets `width` at a time through for each name.

    Attempts that run side by side all pass a look at the failures before any of them has failed;
    the gate bounds how many those can be, and how many wait.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        self._inside = 0
        self._semaphores: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def slot(self, name: str) -> AsyncIterator[None]:
        """Waits for a place. Raises HashersBusy when too many wait already."""
        if self._inside >= INSIDE_MAX:
            raise HashersBusy(retry_after_seconds=2)
        semaphore = self._semaphores.get(name)
        if semaphore is None:
            semaphore = self._semaphores[name] = asyncio.Semaphore(self._width)
        self._inside += 1
        try:
            async with semaphore:
                yield
        finally:
            self._inside -= 1


class Authenticator:
    """One per process."""

    def __init__(
        self,
        db: Database,
        secret_box: SecretBox,
        signing_keys: SigningKeys,
        passwords: Passwords,
        rules: Rules,
        revocations: PublishedRevocations,
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._secret_box = secret_box
        self._signing_keys = signing_keys
        self._passwords = passwords
        self._rules = rules
        self._guests = Batcher("guests", self._run_guests)
        self._accounts = ConcurrencyLimit(rules.failures.per_account)
        self._addresses = ConcurrencyLimit(rules.failures.per_address)
        self._sign_ups = ConcurrencyLimit(SIGN_UPS_AT_ONCE_MAX)

    async def close(self) -> None:
        """Finish what waits."""
        await self._guests.close()

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
        async with self._sign_ups.slot(address):
            await self._db.read(
                service.admit_sign_up, attempt, self._rules.failures, self._rules.sign_ups
            )
            password_hash = await self._passwords.hash(folded_password)
            applicant = self._newcomer(
                folded_email, "customer", folded_name, folded_phone, password_hash
            )
            try:
                by = Actor(applicant.role, applicant.customer_id, address)
                return await self._db.run(service.sign_up, applicant, by, attempt)
            except EmailTaken:
                await self._db.run(service.note_failure, attempt)
                raise

    async def admit_guest(self, email: str) -> Grant:
        """A token good for one purchase; booking counts. Raises InvalidFields."""
        fields = Fields()
        folded_email = fields.check("email", fold_email, email)
        fields.raise_if_wrong()
        guest = await self._guests.submit(self._newcomer(folded_email, "guest"))
        return await self._grant(guest, folded_email)

    async def sign_in(
        self, email: str, password: str, address: str, device: str | None = None
    ) -> Grant:
        """`device` is the cookie of an earlier sign-in here.

        Raises WrongCredentials, whatever was wrong; TooMany, HashersBusy, InvalidFields.
        """
        fields = Fields()
        folded = fields.check("email", fold_email, email)
        fields.raise_if_wrong()
        attempt = self._attempt(folded.norm, address, device)
        for _ in range(PROOFS_MAX):
            proven = await self._prove(attempt, folded, password)
            token = await self._open_session(proven, attempt)
            if token is not None:
                SIGN_INS.labels("let in").inc()
                return await self.let_in(proven.customer, token, device)
        raise WrongCredentials

    async def use_link(
        self, code_hash: bytes, new_hash: str | None, address: str
    ) -> tuple[Customer, RefreshToken]:
        """Open a session for who was mailed a link. Raises LinkSpent."""
        session_id, rules = clock.new_id(), self._rules.sessions
        used = await self._db.run(link_service.use, code_hash, new_hash, session_id, address, rules)
        if new_hash is not None:
            await self._revocations.refresh()
        SIGN_INS.labels("let in by link").inc()
        return used

    async def let_in(self, customer: Customer, token: RefreshToken, device: str | None) -> Grant:
        """Tokens for somebody who has shown who they are, and their device is known from now on."""
        email = fold_email(customer.email)
        grant = await self._grant(customer, email, token)
        account_key = self._secret_box.account_key(email.norm)
        known = self._known_device(device, account_key)
        now = Device(known or clock.new_id(), int(clock.now().timestamp()))
        return replace(grant, device=self._secret_box.device_text(account_key, now))

    async def refresh(self, text: str | None, address: str) -> Grant:
        """The next tokens for a refresh token. Raises SessionOver."""
        token = self._secret_box.read_refresh(text) if text else None
        if token is None:
            raise SessionOver
        continued = await self._db.run(
            service.continue_session, token, self._rules.sessions, address
        )
        REFRESHES.labels(continued.step.name.lower()).inc()
        if continued.step is Step.REVOKE:
            await self._revocations.refresh()
            log.warning("session.revoked_after_reuse", session_id=str(token.session_id))
        if continued.customer is None:
            raise SessionOver
        following = RefreshToken(token.session_id, continued.generation)
        return await self._grant(
            continued.customer, fold_email(continued.customer.email), following
        )

    async def sign_out(self, text: str | None, caller: Caller | None, address: str) -> None:
        """Ends the session of a refresh token, and that of an access token; what is neither has
        ended already.
        """
        token = self._secret_box.read_refresh(text) if text else None
        if token is not None:
            await self._db.run(service.end_session, token.session_id, address)
        if caller is not None and caller.is_guest:
            await self._db.run(revocation_store.revoke_sessions_of, caller.customer_id)
        elif caller is not None and caller.session_id:
            await self._db.run(service.end_session, UUID(caller.session_id), address)
        if token is not None or caller is not None:
            await self._revocations.refresh()

    async def profile(self, caller: Caller) -> Customer:
        """Raises NotFound."""
        return (await self._db.run_one(service.get_credentials, caller.customer_id)).customer

    async def update_profile(
        self, caller: Caller, change: ProfileChange, address: str
    ) -> tuple[Customer, str | None]:
        """The profile now; after a change of password also the only refresh token left.

        Raises InvalidFields, NotFound, and for a new password WrongCredentials, Forbidden for a
        guest, TooMany, HashersBusy.
        """
        known = await self._db.run_one(service.get_credentials, caller.customer_id)
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
            attempt = self._attempt(email.norm, address)
            token = await self._change_password(known, attempt, change.current_password, password)
        customer = await self._db.run(service.update_profile, caller.customer_id, name, phone)
        return customer, token

    async def _change_password(
        self, known: Credentials, attempt: Attempt, current: str, password: str
    ) -> str:
        if known.password_hash is None:
            raise Forbidden("A guest has no password.")
        proven = await self._prove(attempt, fold_email(known.customer.email), current)
        new_hash = await self._passwords.hash(password)
        if not await self._db.run(service.change_password, proven, new_hash, attempt.address):
            raise WrongCredentials
        await self._revocations.refresh()
        token = await self._open_session(Credentials(known.customer, new_hash), attempt)
        if token is None:
            raise WrongCredentials
        return self._secret_box.refresh_text(token)

    async def prove_again(self, known: Credentials, password: str, address: str) -> None:
        """Somebody who is signed in shows that they know the password. Raises as `sign_in`."""
        email = fold_email(known.customer.email)
        await self._prove(self._attempt(email.norm, address), email, password)

    async def _prove(self, attempt: Attempt, email: Email, password: str) -> Credentials:
        """The same work and the same answer, whether or not there is such an account."""
        if len(password) > PASSWORD_LENGTH_MAX:
            raise InvalidFields({"password": f"at most {PASSWORD_LENGTH_MAX} characters"})
        account = f"{attempt.account_key} {attempt.device}"
        async with self._accounts.slot(account), self._addresses.slot(attempt.source):
            try:
                known = await self._db.read(
                    service.admit_sign_in, attempt, email, self._rules.failures
                )
            except Problem:
                SIGN_INS.labels("not admitted").inc()
                raise
            stored = known.password_hash if known else None
            verdict = await self._passwords.verify(password, stored)
            if known is None or not verdict.is_right:
                await self._db.run(service.fail_sign_in, attempt, known)
                SIGN_INS.labels("wrong").inc()
                raise WrongCredentials
        if verdict.better_hash is None:
            return known
        return await self._rehash(known, verdict.better_hash)

    async def _rehash(self, known: Credentials, better_hash: str) -> Credentials:
        """The cost was raised since; the old hash stays if the password changed meanwhile."""
        await self._db.run(
            store.replace_password_hash,
            known.customer.customer_id,
            known.password_hash or "",
            better_hash,
        )
        return Credentials(known.customer, better_hash)

    async def _open_session(self, proven: Credentials, attempt: Attempt) -> RefreshToken | None:
        return await self._db.run(
            service.open_session, clock.new_id(), proven, attempt, self._rules.sessions
        )

    async def _grant(
        self, customer: Customer, email: Email, token: RefreshToken | None = None
    ) -> Grant:
        lifetime = self._rules.access_lifetime if token else self._rules.guest_lifetime
        email_key = self._secret_box.email_key(email.norm)
        session_id = token.session_id if token else customer.customer_id
        access = await self._signing_keys.sign(
            customer.customer_id, customer.role, lifetime, email_key, session_id
        )
        cookie = None if token is None else self._secret_box.refresh_text(token)
        return Grant(access, lifetime, cookie)

    async def _run_guests(self, guests: Sequence[NewCustomer]) -> list[Customer]:
        """An on-sale brings guests by the hundred; together they cost one commit."""
        return await self._db.run(service.admit_guests, guests)

    def _attempt(self, email_norm: str, address: str, device: str | None = None) -> Attempt:
        account_key = self._secret_box.account_key(email_norm)
        return Attempt(account_key, address, self._known_device(device, account_key))

    def _known_device(self, device: str | None, account_key: str) -> UUID | None:
        known = self._secret_box.read_device(device, account_key) if device else None
        if known is None:
            return None
        age_seconds = clock.now().timestamp() - known.since_seconds
        is_known = age_seconds < self._rules.device_lifetime.total_seconds()
        return known.device_id if is_known else None

    def _newcomer(
        self,
        email: Email,
        role: AccountRole,
        name: str = "",
        phone: str | None = None,
        password_hash: str | None = None,
    ) -> NewCustomer:
        return NewCustomer(
            customer_id=clock.new_id(),
            region=self._rules.region,
            email=email,
            name=name,
            phone=phone,
            role=role,
            password_hash=password_hash,
        )
