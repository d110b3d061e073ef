"""Text as people wrote it: undoes what files did to it, and the form that search compares."""

import html
import re
import unicodedata

_TAG = re.compile(r"</?[a-zA-Z][^<>]{0,100}>")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\ufeff]")
_SPACES = re.compile(r"\s+")
_NOT_WORD = re.compile(r"[\W_]+")
_SYMBOLS = frozenset({"Sc", "Sk", "Sm", "So", "Po"})
_AT_HOME = "…™®©"  # symbols that do stand beside letters
_ENTITY_ROUNDS_MAX = 2  # `&amp;eacute;` was escaped twice; more is not a mistake but a text


def readable(value: str) -> str:
    """The text without markup, mis-decoded letters, control characters and spare spaces."""
    text = _without_markup(value)
    text = _decoded_again(text)
    text = _CONTROL.sub("", text.replace('""', '"'))
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text)).strip()


def normal(value: str) -> str:
    """Lower case, no accents, words separated by one space: equal for texts read as equal."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", value).casefold())
    plain = "".join(c for c in folded if not unicodedata.combining(c))
    plain = plain.replace("'", "").replace("’", "").replace("&", " and ")
    return _NOT_WORD.sub(" ", plain).strip()


def _without_markup(value: str) -> str:
    text = value
    for _ in range(_ENTITY_ROUNDS_MAX):
        text = html.unescape(text)
    return _TAG.sub("", text)


def _decoded_again(text: str) -> str:
    """Undoes one wrong decoding: UTF-8 read as Latin, or Latin read as Mac Roman."""
    if text.isascii():
        return text
    for wrong, right in (("cp1252", "utf-8"), ("latin-1", "utf-8")):
        repaired = _recoded(text, wrong, right)
        if repaired is not None:
            return repaired
    repaired = _recoded(text, "mac_roman", "cp1252")
    if repaired is not None and _oddities(repaired) < _oddities(text):
        return repaired
    return text


def _recoded(text: str, wrong: str, right: str) -> str | None:
    try:
        return text.encode(wrong).decode(right)
    except UnicodeError:
        return None


def _oddities(text: str) -> int:
    """How many characters no typist would have put where they are.

    A capital inside a small-letter word (`LÈon`), a capital alone (`You Ö Don't`), a symbol or a
    foreign letter glued to a letter or digit (`F‰lscher`, `2Ω`).
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
    if middle in "Ωªº" or unicodedata.category(middle) in _SYMBOLS:
        return left.isalnum() or right.isalnum()
    return False
