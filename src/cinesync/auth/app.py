"""Settings and wiring of the auth service."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

from cinesync.auth.authentication.accounts import Accounts
from cinesync.auth.authentication.authenticator import AccountRules, Authenticator
from cinesync.auth.credentials.passwords import HashCost, HashQueue, Passwords
from cinesync.auth.credentials.secret_box import SecretBox
from cinesync.auth.credentials.signing_keys import SigningKeys
from cinesync.auth.links.mail_spool import MailSpool
from cinesync.auth.links.sign_in_links import LinkRules, SignInLinks
from cinesync.auth.model import ActionLimits, FailureLimits, KeyRules, SessionRules
from cinesync.auth.personal_data.erasure import Erasure
from cinesync.auth.personal_data.routes import personal_data_router
from cinesync.auth.retention import guest_retention
from cinesync.auth.retention.cleanup import Cleanup, RetentionPeriods
from cinesync.auth.retention.guest_retention import GuestRetention
from cinesync.auth.revocations.published import PublishedRevocations
from cinesync.auth.routes import TokenResponder, auth_router
from cinesync.auth.staff import DEFAULT_REGION, DEMO_ROLES
from cinesync.chassis.background import Loop
from cinesync.chassis.database import Database, open_database
from cinesync.chassis.http.audit_log_api import audit_log_route
from cinesync.chassis.http.client import HttpClient
from cinesync.chassis.http.security.client_address import ClientAddresses
from cinesync.chassis.http.security.revocations import Revocations
from cinesync.chassis.messaging.event import Event
from cinesync.chassis.process import Service
from cinesync.chassis.settings import Secret, SettingsError
from cinesync.contracts.auth import CustomerErased, LinkRequested

SHOP_NAME = "CineSync"
# `create` binds them to the mail spool of the settings.
HANDLERS: Mapping[type[Event], Callable[..., Awaitable[None]]] = {
    LinkRequested: MailSpool.send_links,
    CustomerErased: MailSpool.delete_mails,
}
KEY_AHEAD_SHARE = 10  # a key is published for a tenth of its lifetime before it signs


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the auth service reads from the environment."""

    database_url: Annotated[str, "the auth service's own database"]
    secret_key: Annotated[str, "at least 32 random bytes; the same in every process", Secret()]
    shop_url: Annotated[str, "the shop's URL for browsers; https makes cookies Secure"] = ""
    shop_name: Annotated[str, "the shop's name; no password may contain it"] = SHOP_NAME
    api_url: Annotated[str, "base URL of the other services' APIs"] = "http://127.0.0.1:8000"
    api_timeout_seconds: Annotated[int, "timeout of a request to another service"] = 5
    region: Annotated[str, "region of new accounts"] = DEFAULT_REGION
    trusted_proxies: Annotated[str, "addresses or CIDR blocks whose X-Forwarded-For is used"] = ""
    access_seconds: Annotated[int, "lifetime of an access token"] = 15 * 60
    guest_seconds: Annotated[int, "lifetime of a guest's token"] = 2 * 3600
    refresh_seconds: Annotated[int, "a session ends when it is unused for this time"] = 30 * 86_400
    session_seconds_max: Annotated[int, "a session ends this time after sign-in"] = 180 * 86_400
    refresh_grace_seconds: Annotated[
        int, "a refresh token may be sent again for this time, when the response was lost"
    ] = 10
    key_days: Annotated[int, "how long a signing key signs"] = 30
    failures_per_account_max: Annotated[int, "failed sign-ins of an account in the window"] = 10
    failures_per_address_max: Annotated[int, "failed sign-ins from an address in the window"] = 50
    failure_window_seconds: Annotated[int, "how long a failure counts"] = 15 * 60
    hash_memory_kib: Annotated[int, "memory of one Argon2id hash"] = 19_456
    hash_rounds: Annotated[int, "passes of one Argon2id hash"] = 2
    hash_threads: Annotated[int, "threads that verify hashes, for sign-ins"] = 2
    hashes_waiting_max: Annotated[int, "most sign-ins that run or wait for a thread"] = 200
    sign_up_hash_threads: Annotated[int, "threads that make hashes, for sign-ups"] = 1
    sign_up_hashes_waiting_max: Annotated[int, "most sign-ups that run or wait for a thread"] = 60
    sign_ups_per_address_max: Annotated[
        int, "accounts opened from one address in the window; a school class needs 40"
    ] = 60
    sign_up_window_seconds: Annotated[int, "how long a sign-up or a requested link counts"] = 600
    link_seconds: Annotated[int, "lifetime of a sign-in link"] = 15 * 60
    links_per_account_max: Annotated[int, "links mailed to one account in the window"] = 5
    links_per_address_max: Annotated[int, "links requested from one address in the window"] = 60
    device_days: Annotated[
        int, "how long after a sign-in failures elsewhere do not block this browser"
    ] = 400
    mail_spool: Annotated[str, "folder that mails are written to; empty: no mail is sent"] = ""
    guest_retention_days: Annotated[
        int, "guests who bought nothing are deleted after this time; 0: never"
    ] = 30
    booking_url: Annotated[
        str, "base URL of the booking service, which knows who bought; empty: guests stay"
    ] = ""
    upkeep_seconds: Annotated[int, "pause between clean-ups"] = 600
    demo_accounts: Annotated[
        str, "file with the demo's passwords, read by `serve --demo`; empty: no demo accounts"
    ] = ""


def create(settings: Settings) -> Service:
    """The service, not started. Raises SettingsError."""
    addresses = _check(settings)
    database = open_database(settings.database_url, application="cinesync auth")
    secret_box = SecretBox(settings.secret_key)
    signing_keys = SigningKeys(database, secret_box, _key_rules(settings))
    passwords = Passwords(
        HashCost(memory_kib=settings.hash_memory_kib, rounds=settings.hash_rounds),
        verifying=HashQueue(
            "sign-in", threads=settings.hash_threads, waiting_max=settings.hashes_waiting_max
        ),
        hashing=HashQueue(
            "sign-up",
            threads=settings.sign_up_hash_threads,
            waiting_max=settings.sign_up_hashes_waiting_max,
        ),
    )
    rules = _rules(settings)
    revocations = Revocations()
    published = PublishedRevocations(
        database, revocations, rules.access_lifetime, rules.guest_lifetime
    )
    authenticator = Authenticator(database, secret_box, signing_keys, passwords, rules, published)
    accounts = Accounts(database, secret_box, passwords, authenticator, rules, published)
    links = SignInLinks(
        database, secret_box, passwords, authenticator, _link_rules(settings, rules), published
    )
    link_lifetime = timedelta(seconds=settings.link_seconds)
    spool = MailSpool(settings.mail_spool, settings.shop_name, settings.shop_url, link_lifetime)
    is_https = settings.shop_url.startswith("https://")
    responder = TokenResponder(
        addresses,
        is_https=is_https,
        cookie_seconds=settings.refresh_seconds,
        device_seconds=settings.device_days * 86_400,
    )
    periods = RetentionPeriods(
        failures=rules.failures.window,
        actions=rules.sign_ups.window,
        tokens=published.lifetime_max,
    )
    guests = _guest_retention(settings, database, signing_keys)
    cleanup = Cleanup(database, periods, settings.upkeep_seconds, guests)
    router = auth_router(accounts, authenticator, links, signing_keys, responder, published)
    other_services = HttpClient(settings.api_url, settings.api_timeout_seconds)
    erasure = Erasure(database, secret_box, signing_keys, authenticator, published, other_services)
    return Service(
        name="auth",
        database=database,
        routes=[
            router,
            personal_data_router(erasure, responder),
            audit_log_route("auth", database),
        ],
        migrations="cinesync.auth.migrations",
        handlers={event: partial(handle, spool) for event, handle in HANDLERS.items()},
        background=[
            Loop("auth.keys", signing_keys.run),
            Loop("auth.upkeep", cleanup.run, settings.upkeep_seconds),
        ],
        close=[
            erasure.close,
            authenticator.close,
            passwords.close,
            *([guests.close] if guests else []),
        ],
        revocations=revocations,
    )


def _guest_retention(
    settings: Settings, database: Database, signing_keys: SigningKeys
) -> GuestRetention | None:
    if not settings.guest_retention_days or not settings.booking_url:
        return None
    booking = HttpClient(settings.booking_url, guest_retention.TIMEOUT_SECONDS)
    return GuestRetention(
        database, signing_keys, booking, timedelta(days=settings.guest_retention_days)
    )


def shop_name(environ: Mapping[str, str]) -> str:
    """The setting that commands which set passwords need; they need no other one."""
    return environ.get("SHOP_NAME") or SHOP_NAME


def demo_accounts(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Passwords by e-mail, from the file DEMO_ACCOUNTS if there is one. Raises SettingsError."""
    path = environ.get("DEMO_ACCOUNTS")
    if not path or not Path(path).exists():
        return {}
    try:
        accounts: dict[str, str] = json.loads(Path(path).read_text())["accounts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"DEMO_ACCOUNTS: {path} cannot be read: {error}") from error
    if unknown := set(accounts) - set(DEMO_ROLES):
        raise SettingsError(f"DEMO_ACCOUNTS: {path} names {', '.join(unknown)}, no demo account")
    return accounts


def _check(settings: Settings) -> ClientAddresses:
    """Raises SettingsError that names every setting out of range."""
    numbers = {name: value for name, value in asdict(settings).items() if isinstance(value, int)}
    retention_seconds = numbers.pop("guest_retention_days") * 86_400
    problems = [f"{name.upper()} must be at least 1" for name, n in numbers.items() if n < 1]
    if retention_seconds and retention_seconds <= settings.guest_seconds:
        problems.append("GUEST_RETENTION_DAYS must be longer than GUEST_SECONDS")
    try:
        addresses = ClientAddresses(settings.trusted_proxies, settings.secret_key)
    except SettingsError as error:
        problems.append(str(error))
    if problems:
        raise SettingsError("; ".join(problems))
    return addresses


def _rules(settings: Settings) -> AccountRules:
    return AccountRules(
        region=settings.region,
        shop_name=settings.shop_name,
        access_lifetime=timedelta(seconds=settings.access_seconds),
        guest_lifetime=timedelta(seconds=settings.guest_seconds),
        sessions=SessionRules(
            idle_max=timedelta(seconds=settings.refresh_seconds),
            age_max=timedelta(seconds=settings.session_seconds_max),
            grace=timedelta(seconds=settings.refresh_grace_seconds),
        ),
        failures=FailureLimits(
            per_account=settings.failures_per_account_max,
            per_address=settings.failures_per_address_max,
            window=timedelta(seconds=settings.failure_window_seconds),
        ),
        sign_ups=ActionLimits(
            per_address=settings.sign_ups_per_address_max,
            per_account=1,
            window=timedelta(seconds=settings.sign_up_window_seconds),
        ),
        device_lifetime=timedelta(days=settings.device_days),
    )


def _link_rules(settings: Settings, rules: AccountRules) -> LinkRules:
    return LinkRules(
        shop_name=settings.shop_name,
        sessions=rules.sessions,
        limits=ActionLimits(
            per_address=settings.links_per_address_max,
            per_account=settings.links_per_account_max,
            window=timedelta(seconds=settings.sign_up_window_seconds),
        ),
    )


def _key_rules(settings: Settings) -> KeyRules:
    lifetime = timedelta(days=settings.key_days)
    longest = max(settings.access_seconds, settings.guest_seconds)
    return KeyRules(
        lifetime=lifetime,
        ahead=lifetime / KEY_AHEAD_SHARE,
        token_lifetime_max=timedelta(seconds=longest),
    )
