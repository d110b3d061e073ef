"""The fields of an account: which input is valid, and its normal form. Pure."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, cast

import idna

from cinesync.chassis.problems import Invalid

EMAIL_LENGTH_MAX = 254  # RFC 5321 4.5.3.1.3, without the angle brackets
EMAIL_LOCAL_LENGTH_MAX = 64
PASSWORD_LENGTH_MIN = 8  # NIST SP 800-63B 5.1.1.2
PASSWORD_LENGTH_MAX = 128
NAME_LENGTH_MAX = 100
PHONE_DIGITS_MIN = 6
PHONE_DIGITS_MAX = 15  # E.164


class InvalidFields(Invalid):
    """Some fields are not valid."""

    def __init__(self, errors: dict[str, str]) -> None:
        detail = "; ".join(f"{name}: {what}" for name, what in errors.items())
        listed = [{"key": name, "message": what} for name, what in errors.items()]
        super().__init__(detail, errors=listed)


@dataclass(frozen=True, slots=True)
class Email:
    """`address` as its owner writes it, for mail; `norm` decides whether two are the same."""

    address: str
    norm: str

    @property
    def spelling(self) -> str:
        """The `norm` of versions before migration 0003; some accounts are still found by it."""
        return unicodedata.normalize("NFKC", self.address.lower())


def fold_email(text: str) -> Email:
    """One mailbox has one `norm`: NFKC, trimmed, case folded, its domain in ASCII (RFC 5890).

    NFKC comes first, because it replaces look-alikes (full-width letters, a no-break space); the
    checks come after it, so that it cannot produce anything forbidden. Raises ValueError with an
    example of valid input.
    """
    address = unicodedata.normalize("NFKC", text).strip()
    shown_local, at, shown_domain = address.rpartition("@")
    domain = _ascii_domain(shown_domain)
    local = _fold_local(shown_local)
    norm = f"{local}@{domain}"
    labels = domain.split(".")
    is_right = (
        bool(at)
        and max(len(address), len(norm)) <= EMAIL_LENGTH_MAX
        and 0 < len(local) <= EMAIL_LOCAL_LENGTH_MAX
        and all(_is_atom(part) for part in local.split("."))
        and len(labels) > 1
        and all(_is_label(label) for label in (*labels, *shown_domain.split(".")))
    )
    if not is_right:
        raise ValueError("one address, like name@example.org")
    return Email(address, norm)


def _fold_local(local: str) -> str:
    """Unicode's NFKC_Casefold: names that look the same must not differ by invisible signs."""
    visible = _INVISIBLE.sub("", local)
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())


def _ascii_domain(domain: str) -> str:
    """`bücher.example` and `xn--bcher-kva.example` are one name.

    So are the two forms of names that IDNA 2008 no longer permits: browsers still follow them.
    """
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        labels = unicodedata.normalize("NFKC", domain.lower()).split(".")
    return ".".join(
        label if label.isascii() else f"xn--{label.encode('punycode', 'replace').decode()}"
        for label in labels
    )


# Marks and letters of Unicode's Default_Ignorable_Code_Point: variation selectors, fillers.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_ATOM_PUNCTUATION = frozenset("!#$%&'*+-/=?^_`{|}~")


def _is_atom(part: str) -> bool:
    """RFC 5322 `atext`, widened to letters of every script by RFC 6531."""
    return bool(part) and all(_is_word(c) or c in _ATOM_PUNCTUATION for c in part)


def _is_label(label: str) -> bool:
    return (
        0 < len(label) <= 63  # noqa: PLR2004 RFC 1035
        and all(_is_word(c) or c == "-" for c in label)
        and not label.startswith("-")
        and not label.endswith("-")
    )


def _is_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"


def fold_name(text: str) -> str:
    """Trimmed, NFC. Raises ValueError."""
    name = unicodedata.normalize("NFC", text).strip()
    seen = [unicodedata.category(c)[0] for c in name]
    is_right = len(name) <= NAME_LENGTH_MAX and any(c in "LN" for c in seen)
    if not is_right or not all(_may_stand_in_a_name(c) for c in name):
        raise ValueError(f"1 to {NAME_LENGTH_MAX} letters, no control characters")
    return name


# Zero-width joiners are part of Persian and Indic names; other format characters only deceive.
_JOINERS = frozenset("\u200c\u200d")


def _may_stand_in_a_name(character: str) -> bool:
    category = unicodedata.category(character)
    return character in _JOINERS or (category[0] != "C" and category not in {"Zl", "Zp"})


def fold_phone(text: str) -> str | None:
    """Digits with an optional leading plus; an empty text is no phone. Raises ValueError."""
    phone = unicodedata.normalize("NFKC", text).strip()
    for separator in " -.()/":
        phone = phone.replace(separator, "")
    if not phone:
        return None
    digits = phone.removeprefix("+")
    is_right = digits.isascii() and digits.isdigit()
    if not is_right or not PHONE_DIGITS_MIN <= len(digits) <= PHONE_DIGITS_MAX:
        raise ValueError(f"{PHONE_DIGITS_MIN} to {PHONE_DIGITS_MAX} digits, like +44 20 7946 0000")
    return phone


P = ParamSpec("P")
T = TypeVar("T")


class Fields:
    """Checks each field, so that one response names all wrong fields."""

    def __init__(self) -> None:
        self.errors: dict[str, str] = {}

    def check(self, name: str, rule: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `rule`. Unusable after a failure; `raise_if_wrong` raises then."""
        try:
            return rule(*args, **kwargs)
        except ValueError as error:
            self.errors[name] = str(error)
            return cast("T", None)

    def raise_if_wrong(self) -> None:
        """Raises InvalidFields."""
        if self.errors:
            raise InvalidFields(self.errors)
