"""Text as people wrote it: undoes what files did to it, and the forms to compare.

A text that is right is never altered. What UTF-8 read in a wrong encoding leaves behind (`LÃ©on`)
is recognised by ftfy, which knows sequences that nobody types. Latin letters read as Mac Roman
(`LÈon`) look like letters that somebody may have meant, so that they are only read again when the
one who imports says that the file has them.
"""

import html
import re
import unicodedata
from enum import StrEnum

import ftfy

# A `<` with a known name of formatting markup after it; `3 < 5` and `<heart>` are texts.
_TAG = re.compile(
    r"</?(?:a|b|br|div|em|font|i|p|small|span|strong|sub|sup|u)\b[^<>]{0,100}>", re.IGNORECASE
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# C0, C1, zero-width space and byte order mark; and what reorders the text around it: embeddings,
# overrides and isolates (Unicode Standard Annex 9, section 2). The marks U+200E, U+200F and U+061C
# stay: names in Arabic and Hebrew need them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\ufeff\u202a-\u202e\u2066-\u2069]")
_SPACES = re.compile(r"\s+")
# What the same title has in one list and not in another: spaces, dashes, quotes, stops.
_SEPARATORS = re.compile(r"""[\s\-‐‑–—'’‘"“”«».,:;!?¡¿()\[\]/…·]+""")
_SYMBOLS = frozenset({"Sc", "Sk", "Sm", "So", "Po"})
_AT_HOME = "…™®©"  # symbols that do stand beside letters
_ENTITY_ROUNDS_MAX = 2  # `&amp;eacute;` was escaped twice; more is not a mistake but a text
# Combining classes (Unicode Standard, section 4.3) of accents and of Hebrew and Arabic vowel signs.
# Nukta, virama and the kana's sound marks (7 to 9) make other letters.
_ACCENTS = frozenset({*range(10, 37), *range(202, 241)})


class Misread(StrEnum):
    """How letters were read wrongly before a file was written."""

    MAC_ROMAN = "mac-roman"


def readable(value: str, misread: Misread | None = None) -> str:
    """The text without markup, mis-decoded letters, control characters and spare spaces."""
    text = ftfy.fix_encoding(_without_markup(value))
    if misread is Misread.MAC_ROMAN:
        text = without_mac_roman(text)
    text = _CONTROL.sub("", text.replace('""', '"'))
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()


def normal(value: str) -> str:
    """The form that search compares: lower case, no accents, words separated by one space."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", value).casefold())
    plain = "".join(c for c in folded if unicodedata.combining(c) not in _ACCENTS)
    plain = plain.replace("'", "").replace("’", "").replace("&", " and ")
    return " ".join("".join(c if _is_of_a_word(c) else " " for c in plain).split())


def identity(value: str) -> str:
    """The form of a title that tells films apart: every letter, accent, vowel sign and symbol.

    Case, spaces and separators are folded: `Spider-Man` is SPIDERMAN; Pelé is not Pele. A title of
    nothing but separators is its own.
    """
    folded = unicodedata.normalize("NFC", value).casefold().replace("&", "and")
    folded = unicodedata.normalize("NFC", folded)
    return _SEPARATORS.sub("", folded) or folded.strip()


def without_mac_roman(text: str) -> str:
    """The text that Windows-1252 meant, where fewer letters stand in odd places then."""
    if text.isascii():
        return text
    try:
        repaired = text.encode("mac_roman").decode("cp1252")
    except UnicodeError:
        return text
    return repaired if _oddities(repaired) < _oddities(text) else text


def _is_of_a_word(char: str) -> bool:
    """Letters, digits, and the signs that Indic scripts write vowels with."""
    return char.isalnum() or unicodedata.category(char).startswith("M")


def _without_markup(value: str) -> str:
    text = value
    for _ in range(_ENTITY_ROUNDS_MAX):
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return _TAG.sub("", text)


def _oddities(text: str) -> int:
    """How many characters no typist would have put where they are.

    A capital inside a small-letter word (`LÈon`) and the reverse (`WALLáE`), a capital alone (`You
    Ö Don't`), a symbol or a foreign letter glued to a letter or digit (`F‰lscher`, `2Ω`).
    """
    padded = f" {text} "
    neighbours = zip(padded, padded[1:], padded[2:], strict=False)
    return sum(_odd(left, middle, right) for left, middle, right in neighbours)


def _odd(left: str, middle: str, right: str) -> bool:
    if middle.isascii() or middle in _AT_HOME:
        return False
    if middle.isupper() and middle != "Ω":
        alone = left.isspace() and right.isspace()
        return alone or left.islower() or (left.isalpha() and right.islower())
    if middle in "ªº" and left.isalpha():  # Nº, Mª
        return right.isalnum()
    if middle.islower() and left.isupper() and right.isupper():
        return True
    if middle in "Ωªº" or unicodedata.category(middle) in _SYMBOLS:
        return left.isalnum() or right.isalnum()
    return False
