"""Which new passwords are refused: leaked ones, and those with the e-mail or the shop's name.

The lists are zxcvbn's: leaked passwords, and the words and names in them, by frequency. A text is
only in the list where it ranks highest, so the lists are used together. They leave out what zxcvbn
finds by rule (repetitions, runs of the alphabet and the keyboard); this module has such rules too.
zxcvbn's estimate of strength is not used: an attacker can choose a password for which it takes a
second.
"""

import re
import unicodedata
from collections.abc import Iterable, Set
from functools import cache

from cinesync.auth.fields import PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN, Email

COMMON_BASES_MAX = 10_000
ADDED_MAX = 6  # digits and symbols around a common word: `Summer2024!`
NAME_LENGTH_MIN = 4  # shorter ones are part of too many words
UNIT_LENGTH_MAX = 3
RUNS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "`1234567890-=",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/",
)
PRODUCT_NAME = "cinesync"

_LOOK_ALIKES = str.maketrans("@4301!$57", "aaeoiisst")


def fold_password(password: str, email: Email | None = None, shop_name: str = "") -> str:
    """The text that is hashed (NFKC, as NIST SP 800-63B asks). Raises ValueError."""
    folded = unicodedata.normalize("NFKC", password)
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise ValueError(f"{PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters")
    lowered = folded.casefold().strip()
    if email is not None and _holds_one_of(lowered, _names_of(email)):
        raise ValueError("something other than your e-mail; attackers try it first")
    if _holds_one_of(lowered, {_compact(shop_name), PRODUCT_NAME}):
        raise ValueError("something without the name of this shop")
    if _is_common(lowered):
        raise ValueError("something harder to guess; this one is in lists of leaked passwords")
    return folded


def _is_common(lowered: str) -> bool:
    everything, bases = _common()
    spellings = {lowered, lowered.translate(_LOOK_ALIKES)}
    if _is_repetition(lowered) or _is_run(lowered) or not spellings.isdisjoint(everything):
        return True
    without_signs = (re.sub(r"^[\W\d_]+|[\W\d_]+$", "", spelling) for spelling in spellings)
    rests = {rest for rest in without_signs if len(lowered) - len(rest) <= ADDED_MAX}
    tails = {re.sub(r"[\W\d_]+$", "", lowered).translate(_LOOK_ALIKES)}  # p@ssw0rd123
    rests |= {rest for rest in tails if len(lowered) - len(rest) <= ADDED_MAX}
    return not rests.isdisjoint(bases)


def _is_repetition(lowered: str) -> bool:
    """`aaaaaaaa`, `abcabcabc`, `passwordpassword`."""
    size = (lowered * 2).find(lowered, 1)
    unit = lowered[:size]
    is_short = size <= UNIT_LENGTH_MAX and unit.isalnum()
    return size < len(lowered) and (size == 1 or is_short or unit in _common()[0])


def _is_run(lowered: str) -> bool:
    """`abcdefgh`, `987654321`, `asdfghjkl`."""
    return any(lowered in run or lowered[::-1] in run for run in RUNS)


def _names_of(email: Email) -> set[str]:
    """The local part, also without its tag and number, and the domain's labels but the last."""
    local, _, domain = email.norm.rpartition("@")
    shown = email.address.rpartition("@")[2].casefold()
    labels = {*domain.split(".")[:-1], *shown.split(".")[:-1]}
    owner = local.partition("+")[0]
    return {_compact(name) for name in (local, owner, owner.rstrip("0123456789"), *labels)}


def _holds_one_of(lowered: str, names: Iterable[str]) -> bool:
    long_enough = [name for name in names if len(name) >= NAME_LENGTH_MIN]
    plain, alike = _compact(lowered), _compact(lowered.translate(_LOOK_ALIKES))
    return any(name in plain or name.translate(_LOOK_ALIKES) in alike for name in long_enough)


def _compact(text: str) -> str:
    return "".join(c for c in text.casefold() if c.isalnum())


@cache
def _common() -> tuple[Set[str], Set[str]]:
    """All listed passwords, and the words that are refused with additions too."""
    # Loaded when the first password is set; few processes ever set one.
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415

    known = FREQUENCY_LISTS.values()
    bases = {word for words in known for word in words[:COMMON_BASES_MAX]}
    return bases.union(FREQUENCY_LISTS["passwords"]), bases
