"""What of a shop is a demo: its films and shows, and accounts to sign in with.

A folder's first start decides, and a file in it keeps what was decided. The passwords are made
for each folder. A shop that others reach has none of these accounts.
"""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path

from cinesync.supervisor.address import Address
from cinesync.supervisor.errors import UpFailed

DEMO_FILE = "demo.json"
EMAILS = tuple(f"{name}@cinesync.example" for name in ("demo", "staff", "manager", "auditor"))
# Readable aloud: four words of two syllables, each one of 50, have 45 bits. Without the letters
# that nobody would want to read some of the words with.
CONSONANTS = "bdflmnrstv"
VOWELS = "aeiou"
WORDS = 4
SYLLABLES = 2


@dataclass(frozen=True, slots=True)
class Exposure:
    """Who reaches a shop, as its operator says on the command line."""

    address: Address
    demo: bool = False
    behind_proxy: bool = False
    has_tls: bool = False

    @property
    def is_public(self) -> bool:
        """Whether others than this machine's users reach it."""
        return self.behind_proxy or not is_loopback(self.address.host)

    def check(self) -> None:
        """Raises UpFailed for passwords that would cross a network in plain HTTP."""
        if not self.has_tls and not self.behind_proxy and not is_loopback(self.address.host):
            raise UpFailed(
                f"{self.address.host} is reached over the network, and this would be plain HTTP:"
                " add --split, which has TLS, or --behind-proxy when a proxy in front of the shop"
                " does TLS."
            )


@dataclass(frozen=True, slots=True)
class Demo:
    """`chain`: films, theaters and shows are kept filled. `accounts`: passwords by e-mail."""

    chain: bool
    accounts: Mapping[str, str] = field(default_factory=dict, repr=False)


def behind_proxy(address: Address, environ: Mapping[str, str]) -> Mapping[str, str]:
    """The settings of a shop whose TLS somebody else does: cookies are Secure, and the proxy, on
    this machine unless the environment says otherwise, is believed whom it speaks for."""
    return {
        "SHOP_URL": environ.get("SHOP_URL") or address.url.replace("http://", "https://", 1),
        "TRUSTED_PROXIES": environ.get("TRUSTED_PROXIES") or "127.0.0.1,::1",
        "WEB_TRUSTED_PROXIES": environ.get("WEB_TRUSTED_PROXIES") or "1",
    }


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def read(folder: Path) -> Demo | None:
    """What was decided; None before a folder's first start. Raises UpFailed for a spoiled file."""
    path = folder / DEMO_FILE
    try:
        kept = json.loads(path.read_text())
        return Demo(bool(kept["chain"]), {str(k): str(v) for k, v in kept["accounts"].items()})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UpFailed(f"{path} cannot be read: {error}. Remove it to begin it anew.") from error


def decide(folder: Path, exposure: Exposure) -> Demo:
    """What this start is, kept for the next ones. Raises UpFailed."""
    exposure.check()
    known = read(folder)
    wanted = exposure.demo or (known is None and not exposure.is_public)
    demo = known or Demo(chain=False)
    if wanted and not demo.chain:
        demo = Demo(chain=True, accounts={} if exposure.is_public else _new_accounts())
    if exposure.is_public and demo.accounts:
        raise UpFailed(
            f"The shop in {folder} has demo accounts, whose passwords were made to be shown around:"
            " `cinesync staff disable --demo` ends them, `cinesync staff add` makes real ones; or"
            " choose another folder with --data."
        )
    if demo != known:
        write(folder, demo)
    return demo


def write(folder: Path, demo: Demo) -> None:
    """Whole or not at all, for its owner's eyes."""
    unfinished = folder / f"{DEMO_FILE}.new"
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(demo), file, indent=2)
    unfinished.replace(folder / DEMO_FILE)


def forget_accounts(folder: Path) -> None:
    """They were disabled: no start makes them again."""
    known = read(folder)
    write(folder, Demo(chain=known.chain if known else False))


def _new_accounts() -> dict[str, str]:
    return {email: new_password() for email in EMAILS}


def new_password() -> str:
    """Random, and readable aloud."""
    return "-".join("".join(_syllable() for _ in range(SYLLABLES)) for _ in range(WORDS))


def _syllable() -> str:
    return secrets.choice(CONSONANTS) + secrets.choice(VOWELS)
