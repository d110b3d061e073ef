"""Signs people in, admits guests, and continues and ends sessions.

A password hash takes tens of milliseconds, so it is computed here, between two transactions and
never inside one. The second transaction therefore checks that the hash in the database is still
the one that was verified; if not, the attempt starts again.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

from prometheus_client import Counter

from cinesync.auth import service, store
from cinesync.auth.authentication.concurrency_limit import ConcurrencyLimit
from cinesync.auth.credentials.passwords import Passwords
from cinesync.auth.credentials.secret_box import Device, RefreshToken, SecretBox
from cinesync.auth.credentials.signing_keys import SigningKeys
from cinesync.auth.fields import PASSWORD_LENGTH_MAX, Email, Fields, InvalidFields, fold_email
from cinesync.auth.model import (
    ActionLimits,
    Attempt,
    Credentials,
    Customer,
    FailureLimits,
    NewCustomer,
    RefreshDecision,
    SessionOver,
    SessionRules,
    WrongCredentials,
)
from cinesync.auth.revocations import store as revocation_store
from cinesync.auth.revocations.published import PublishedRevocations
from cinesync.chassis import clock, telemetry
from cinesync.chassis.batcher import Batcher
from cinesync.chassis.database import Database
from cinesync.chassis.http.security.access_tokens import Caller
from cinesync.chassis.problems import Problem

ATTEMPTS_MAX = 2  # another sign-in with the same password may renew the hash in between

log = telemetry.get_logger(__name__)

SIGN_INS = Counter("cinesync_auth_sign_ins_total", "Attempts to sign in.", ["outcome"])
REFRESHES = Counter("cinesync_auth_refreshes_total", "Refresh tokens presented.", ["step"])


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRules:
    """What the settings decide about accounts and sessions."""

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
    """`access` is valid for `lifetime`; `refresh_token` and `device` go into cookies."""

    access: Caller = field(repr=False)
    lifetime: timedelta
    refresh_token: str | None = field(default=None, repr=False)
    device: str | None = field(default=None, repr=False)


class Authenticator:
    """One per process."""

    def __init__(
        self,
        db: Database,
        secret_box: SecretBox,
        signing_keys: SigningKeys,
        passwords: Passwords,
        rules: AccountRules,
        revocations: PublishedRevocations,
    ) -> None:
        self._db = db
        self._revocations = revocations
        self._secret_box = secret_box
        self._signing_keys = signing_keys
        self._passwords = passwords
        self._rules = rules
        self._guests = Batcher("guests", self._admit_guests)
        self._account_limit = ConcurrencyLimit(rules.failures.per_account)
        self._address_limit = ConcurrencyLimit(rules.failures.per_address)

    async def close(self) -> None:
        """Finish the requests that wait."""
        await self._guests.close()

    async def admit_guest(self, email: str) -> Grant:
        """A token for one purchase; booking enforces that it is one. Raises InvalidFields."""
        fields = Fields()
        folded_email = fields.check("email", fold_email, email)
        fields.raise_if_wrong()
        guest = NewCustomer(
            customer_id=clock.new_id(),
            region=self._rules.region,
            email=folded_email,
            name="",
            phone=None,
            role="guest",
        )
        return await self._grant(await self._guests.submit(guest), folded_email)

    async def sign_in(
        self, email: str, password: str, address: str, device: str | None = None
    ) -> Grant:
        """`device` is the cookie of an earlier sign-in in this browser.

        Raises WrongCredentials, whatever was wrong; TooMany, HashersBusy, InvalidFields.
        """
        fields = Fields()
        folded = fields.check("email", fold_email, email)
        fields.raise_if_wrong()
        attempt = self.attempt(folded, address, device)
        for _ in range(ATTEMPTS_MAX):
            verified = await self.verify(attempt, folded, password)
            token = await self.open_session(verified, attempt)
            if token is not None:
                SIGN_INS.labels("let in").inc()
                return await self.grant_session(verified.customer, token, device)
        raise WrongCredentials

    async def grant_session(
        self, customer: Customer, token: RefreshToken, device: str | None
    ) -> Grant:
        """Tokens for an authenticated customer; their browser is a known device from now on."""
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
        REFRESHES.labels(continued.decision.name.lower()).inc()
        if continued.decision is RefreshDecision.REVOKE:
            await self._revocations.refresh()
            log.warning("session.revoked_after_reuse", session_id=str(token.session_id))
        if continued.customer is None:
            raise SessionOver
        following = RefreshToken(token.session_id, continued.generation)
        return await self._grant(
            continued.customer, fold_email(continued.customer.email), following
        )

    async def sign_out(self, text: str | None, caller: Caller | None, address: str) -> None:
        """End the session of a refresh token and that of an access token, if there are any."""
        token = self._secret_box.read_refresh(text) if text else None
        if token is not None:
            await self._db.run(service.end_session, token.session_id, address)
        if caller is not None and caller.is_guest:
            await self._db.run(revocation_store.revoke_sessions_of, caller.customer_id)
        elif caller is not None and caller.session_id:
            await self._db.run(service.end_session, UUID(caller.session_id), address)
        if token is not None or caller is not None:
            await self._revocations.refresh()

    def attempt(self, email: Email, address: str, device: str | None = None) -> Attempt:
        """An attempt for the account of an e-mail; `device` is the browser's cookie."""
        account_key = self._secret_box.account_key(email.norm)
        return Attempt(account_key, address, self._known_device(device, account_key))

    async def verify(self, attempt: Attempt, email: Email, password: str) -> Credentials:
        """Check a password, with the same work and response whether or not the account exists.

        Raises WrongCredentials, TooMany, HashersBusy, InvalidFields.
        """
        if len(password) > PASSWORD_LENGTH_MAX:
            raise InvalidFields({"password": f"at most {PASSWORD_LENGTH_MAX} characters"})
        account = f"{attempt.account_key} {attempt.device}"
        async with self._account_limit.slot(account), self._address_limit.slot(attempt.source):
            try:
                known = await self._db.read(
                    service.admit_sign_in, attempt, email, self._rules.failures
                )
            except Problem:
                SIGN_INS.labels("not admitted").inc()
                raise
            stored = known.password_hash if known else None
            check = await self._passwords.verify(password, stored)
            if known is None or not check.is_right:
                await self._db.run(service.fail_sign_in, attempt, known)
                SIGN_INS.labels("wrong").inc()
                raise WrongCredentials
        if check.better_hash is None:
            return known
        # The cost was raised since; a password that was changed meanwhile keeps its hash.
        customer_id = known.customer.customer_id
        old_hash = known.password_hash or ""
        await self._db.run(store.replace_password_hash, customer_id, old_hash, check.better_hash)
        return Credentials(known.customer, check.better_hash)

    async def open_session(self, verified: Credentials, attempt: Attempt) -> RefreshToken | None:
        """The first refresh token; None: the password was changed after it was verified."""
        return await self._db.run(
            service.open_session, clock.new_id(), verified, attempt, self._rules.sessions
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

    async def _admit_guests(self, guests: Sequence[NewCustomer]) -> list[Customer]:
        """The start of a sale brings hundreds of guests at once; a batch costs one commit."""
        return await self._db.run(service.admit_guests, guests)

    def _known_device(self, device: str | None, account_key: str) -> UUID | None:
        known = self._secret_box.read_device(device, account_key) if device else None
        if known is None:
            return None
        age_seconds = clock.now().timestamp() - known.since_seconds
        is_known = age_seconds < self._rules.device_lifetime.total_seconds()
        return known.device_id if is_known else None
