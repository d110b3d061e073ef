"""Which of the shop's settings each of its processes is given: no secret that it does not need.

A process that is broken into tells what is in its environment. Settings without a secret in them go
to every service, for their names are the services' own; what is secret is listed here, and goes to
those that need it. The bank and the validators get nothing but what is theirs.
"""

from collections.abc import Mapping

from cinesync.chassis.http.security.signed_client_address import derive_key

SERVICES = ("auth", "movies", "booking", "payment", "ledger")
DATABASES = tuple(f"cinesync_{service}" for service in SERVICES)
DATABASE_URLS = {service: f"{service.upper()}_DATABASE_URL" for service in SERVICES}
# Who needs a secret. A test holds it against every setting of that kind.
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
# What a process of any kind needs of the machine it runs on.
MACHINE = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "TZ", "TMPDIR", "LANG", "LANGUAGE"),
        *("VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "LOG_LEVEL"),
    }
)
MACHINE_PREFIXES = ("LC_", "PYTHON", "COV", "DISK_")


def for_services(environ: Mapping[str, str], *services: str) -> dict[str, str]:
    """For one process that runs these, "web" among them."""
    wanted = set(services)
    given = {k: v for k, v in environ.items() if k not in NEEDED_BY or NEEDED_BY[k] & wanted}
    if "SECRET_KEY" not in given and (secret := environ.get("SECRET_KEY")):
        given["VISITOR_KEY"] = derive_key(secret)
    return given


def for_bank(environ: Mapping[str, str]) -> dict[str, str]:
    """The shop's key to it, and its own settings."""
    return {k: v for k, v in environ.items() if _is_machines(k) or k.startswith("BANK_")}


def for_validator(environ: Mapping[str, str]) -> dict[str, str]:
    """Its keys are in its home."""
    return {k: v for k, v in environ.items() if _is_machines(k)}


def _is_machines(name: str) -> bool:
    return name in MACHINE or name.startswith(MACHINE_PREFIXES)
