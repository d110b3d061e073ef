"""The environment of each process of a shop: no secret that the process does not need.

An attacker inside a process reads its environment. Settings without a secret go to every service;
those with one are listed here, and go to the services that need them. The bank and the validators
get their own settings only.
"""

from collections.abc import Mapping

from cinesync.chassis.http.security.signed_client_address import derive_key

SERVICES = ("auth", "movies", "booking", "payment", "ledger")
DATABASES = tuple(f"cinesync_{service}" for service in SERVICES)
DATABASE_URLS = {service: f"{service.upper()}_DATABASE_URL" for service in SERVICES}
# The processes that need each secret. A test compares it with all settings that are secrets.
NEEDED_BY: Mapping[str, frozenset[str]] = {
    "SECRET_KEY": frozenset({"auth", "booking", "web"}),
    "EARLIER_SECRET_KEYS": frozenset({"booking"}),
    "VISITOR_KEY": frozenset(SERVICES),
    "BANK_SECRET": frozenset({"bank", "payment"}),
    "STRIPE_SECRET_KEY": frozenset({"payment"}),
    "STRIPE_WEBHOOK_SECRET": frozenset({"payment"}),
    "RABBITMQ_URL": frozenset(SERVICES),
    "DATABASE_URL": frozenset(),  # the superuser's
    "DEMO_ACCOUNTS": frozenset({"auth"}),
    **{url: frozenset({service}) for service, url in DATABASE_URLS.items()},
}
# What any process needs of the machine's environment.
MACHINE = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "TMPDIR", "LANG", "LANGUAGE"),
        *("VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "LOG_LEVEL"),
    }
)
MACHINE_PREFIXES = ("LC_", "PYTHON", "COV", "DISK_")


def for_services(environ: Mapping[str, str], *services: str) -> dict[str, str]:
    """The environment of one process that runs these services; "web" is one."""
    wanted = set(services)
    chosen = {k: v for k, v in environ.items() if k not in NEEDED_BY or NEEDED_BY[k] & wanted}
    if "SECRET_KEY" not in chosen and (secret := environ.get("SECRET_KEY")):
        chosen["VISITOR_KEY"] = derive_key(secret)
    return chosen


def for_bank(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the bank."""
    return {k: v for k, v in environ.items() if _is_of_machine(k) or k.startswith("BANK_")}


def for_validator(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of a validator; its keys are in its home folder."""
    return {k: v for k, v in environ.items() if _is_of_machine(k)}


def _is_of_machine(name: str) -> bool:
    return name in MACHINE or name.startswith(MACHINE_PREFIXES)
