"""Whether a shop is a demo: with films and shows, and with accounts to sign in with.

A data folder's first start decides, and stores it in a file. The passwords are random for each
folder. A shop that other machines can reach has no demo accounts.
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path

from cinesync.supervisor.errors import StartFailed
from cinesync.supervisor.ports import ListenAddress

DEMO_FILE = "demo.json"
EMAILS = tuple(f"{name}@cinesync.example" for name in ("demo", "staff", "manager", "auditor"))
# Readable aloud: four words of two syllables, each one of 50, have 45 bits. These letters make no
# rude words.
CONSONANTS = "bdflmnrstv"
VOWELS = "aeiou"
WORDS = 4
SYLLABLES = 2


@dataclass(frozen=True, slots=True)
class Exposure:
    """Who can reach a shop, by the options of its command line."""

    address: ListenAddress
    demo: bool = False
    behind_proxy: bool = False
    has_tls: bool = False

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach it."""
        return self.behind_proxy or not is_loopback(self.address.host)

    def check(self) -> None:
        """Raises StartFailed for passwords that would cross a network in plain HTTP."""
        if not self.has_tls and not self.behind_proxy and not is_loopback(self.address.host):
            raise StartFailed(
                f"{self.address.host} is reached over the network, and this would be plain HTTP:"
                " add --split, which has TLS, or --behind-proxy when a proxy in front of the shop"
                " does TLS."
            )


@dataclass(frozen=True, slots=True)
class Demo:
    """`chain`: add films, theaters and shows. `accounts`: passwords by e-mail address."""

    chain: bool
    accounts: Mapping[str, str] = field(default_factory=dict, repr=False)


def behind_proxy(address: ListenAddress, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The settings behind a proxy that does TLS: cookies are Secure, and the proxy's forwarded
    addresses are trusted. The proxy is on this machine unless the environment says otherwise."""
    return {
        "SHOP_URL": environ.get("SHOP_URL") or address.url.replace("http://", "https://", 1),
        "TRUSTED_PROXIES": environ.get("TRUSTED_PROXIES") or "127.0.0.1,::1",
        "WEB_TRUSTED_PROXIES": environ.get("WEB_TRUSTED_PROXIES") or "1",
    }


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def read(folder: Path) -> Demo | None:
    """The decision; None before a folder's first start. Raises StartFailed for a damaged file."""
    path = folder / DEMO_FILE
    try:
        stored = json.loads(path.read_text())
        return Demo(bool(stored["chain"]), {str(k): str(v) for k, v in stored["accounts"].items()})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StartFailed(f"{path} cannot be read: {error}. Remove it to decide again.") from error


def decide(folder: Path, exposure: Exposure) -> Demo:
    """Decide at this start, and store it for the next ones. Raises StartFailed."""
    exposure.check()
    known = read(folder)
    wanted = exposure.demo or (known is None and not exposure.is_public)
    demo = known or Demo(chain=False)
    if wanted and not demo.chain:
        demo = Demo(chain=True, accounts={} if exposure.is_public else _new_accounts())
    if exposure.is_public and demo.accounts:
        raise StartFailed(
            f"The shop in {folder} has demo accounts, whose passwords are no secret:"
            " `cinesync staff disable --demo` disables them, `cinesync staff add` adds real ones;"
            " or choose another folder with --data."
        )
    if demo != known:
        write(folder, demo)
    return demo


def write(folder: Path, demo: Demo) -> None:
    """Write all of the file or nothing, readable by its owner only."""
    unfinished = folder / f"{DEMO_FILE}.new"
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(demo), file, indent=2)
    unfinished.replace(folder / DEMO_FILE)


def forget_accounts(folder: Path) -> None:
    """After they were disabled: no start creates them again."""
    known = read(folder)
    write(folder, Demo(chain=known.chain if known else False))


def _new_accounts() -> dict[str, str]:
    return {email: new_password() for email in EMAILS}


def new_password() -> str:
    """Random, and readable aloud."""
    return "-".join("".join(_syllable() for _ in range(SYLLABLES)) for _ in range(WORDS))


def _syllable() -> str:
    return secrets.choice(CONSONANTS) + secrets.choice(VOWELS)
