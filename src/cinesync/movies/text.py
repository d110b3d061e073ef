"""Repairs imported texts, and makes the forms of texts that search and import compare.

A correct text never changes. ftfy finds UTF-8 that was decoded in a wrong encoding (`LÃ©on`) by
sequences that nobody types. Latin letters that were decoded as Mac Roman (`LÈon`) can be meant, so
they are repaired only if the importing person says that the file has them.
"""

import html
import re
import unicodedata
from enum import StrEnum

import ftfy

# Tags of formatting markup; `3 < 5` and `<heart>` are texts.
_TAG = re.compile(
    r"</?(?:a|b|br|div|em|font|i|p|small|span|strong|sub|sup|u)\b[^<>]{0,100}>", re.IGNORECASE
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
# C0, C1, zero-width space, byte order mark; and the embeddings, overrides and isolates that reorder
# the text around them (Unicode Standard Annex 9, section 2). The marks U+200E, U+200F and U+061C
# stay: Arabic and Hebrew names need them.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\ufeff\u202a-\u202e\u2066-\u2069]")
_SPACES = re.compile(r"\s+")
# Lists differ in the spaces, dashes, quotes and stops of a title.
_SEPARATORS = re.compile(r"""[\s\-‐‑–—'’‘"“”«».,:;!?¡¿()\[\]/…·]+""")
_SYMBOLS = frozenset({"Sc", "Sk", "Sm", "So", "Po"})
_USUAL = "…™®©"  # symbols that do occur beside letters
_ENTITY_ROUNDS_MAX = 2  # `&amp;eacute;` was escaped twice; more is meant as it is
# Combining classes (Unicode Standard, section 4.3) of accents and of Hebrew and Arabic vowel signs.
# Nukta, virama and the voicing marks of kana (7 to 9) make other letters.
_ACCENTS = frozenset({*range(10, 37), *range(202, 241)})


class Misread(StrEnum):
    """The wrong encoding in which letters were decoded before a file was written."""

    MAC_ROMAN = "mac-roman"


def readable(value: str, misread: Misread | None = None) -> str:
    """The text without markup, wrongly decoded letters, control characters and extra spaces."""
    text = ftfy.fix_encoding(_without_markup(value))
    if misread is Misread.MAC_ROMAN:
        text = without_mac_roman(text)
    text = _CONTROL.sub("", text.replace('""', '"'))
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()


def search_form(value: str) -> str:
    """The form that search compares: lower case, no accents, words separated by one space."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", value).casefold())
    plain = "".join(c for c in folded if unicodedata.combining(c) not in _ACCENTS)
    plain = plain.replace("'", "").replace("’", "").replace("&", " and ")
    return " ".join("".join(c if _is_of_a_word(c) else " " for c in plain).split())


def identity(value: str) -> str:
    """The form of a title that identifies a film: all letters, accents, vowel signs and symbols.

    It ignores case, spaces and separators: `Spider-Man` is SPIDERMAN, but Pelé is not Pele. A title
    of separators alone stays unchanged.
    """
    folded = unicodedata.normalize("NFC", value).casefold().replace("&", "and")
    folded = unicodedata.normalize("NFC", folded)
    return _SEPARATORS.sub("", folded) or folded.strip()


def without_mac_roman(text: str) -> str:
    """The text decoded as Windows-1252 instead, if that has fewer unlikely characters."""
    if text.isascii():
        return text
    try:
        repaired = text.encode("mac_roman").decode("cp1252")
    except UnicodeError:
        return text
    return repaired if _unlikely_count(repaired) < _unlikely_count(text) else text


def _is_of_a_word(char: str) -> bool:
    """Letters, digits, and the signs that Indic scripts write vowels with."""
    return char.isalnum() or unicodedata.category(char).startswith("M")


def _without_markup(value: str) -> str:
    text = value
    for _ in range(_ENTITY_ROUNDS_MAX):
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return _TAG.sub("", text)


def _unlikely_count(text: str) -> int:
    """How many characters are unlikely in their place.

    A capital inside a small-letter word (`LÈon`) and the reverse (`WALLáE`), a capital alone (`You
    Ö Don't`), a symbol or a foreign letter next to a letter or digit (`F‰lscher`, `2Ω`).
    """
    padded = f" {text} "
    neighbours = zip(padded, padded[1:], padded[2:], strict=False)
    return sum(_is_unlikely(left, middle, right) for left, middle, right in neighbours)


def _is_unlikely(left: str, middle: str, right: str) -> bool:
    if middle.isascii() or middle in _USUAL:
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
