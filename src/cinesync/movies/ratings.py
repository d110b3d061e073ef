"""Certificates of films, by rating board, and their other spellings. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

# By board, mildest first; the first board rated the shipped films. Boards share some texts.
BOARDS: Final[Mapping[str, Sequence[str]]] = {
    "MPA (United States)": ("G", "PG", "PG-13", "R", "NC-17", "Not Rated"),
    "BBFC (United Kingdom)": ("U", "PG", "12A", "12", "15", "18", "R18"),
    "IFCO (Ireland)": ("G", "PG", "12A", "15A", "16", "18"),
    "FSK (Germany)": ("FSK 0", "FSK 6", "FSK 12", "FSK 16", "FSK 18"),
    "CNC (France)": ("TP", "-10", "-12", "-16", "-18"),
    "Kijkwijzer (Netherlands)": ("AL", "6", "9", "12", "14", "16", "18"),
    "ACB (Australia)": ("G", "PG", "MA 15+", "R 18+"),
    "CBFC (India)": ("U", "UA 7+", "UA 13+", "UA 16+", "U/A", "A"),
    "UAE Media Council": ("G", "PG", "PG13", "PG15", "15+", "18+", "18TC", "21+"),
}
CERTIFICATES: Final = tuple(dict.fromkeys(text for texts in BOARDS.values() for text in texts))


def _bare(text: str) -> str:
    """Without case, spaces and hyphens, which people write differently; a first sign stays."""
    folded = text.strip().casefold().replace("−", "-").replace("–", "-")
    return folded[:1] + re.sub(r"[^\w+/]|_", "", folded[1:])


_OTHER_WORDS: Final = {
    "open": "Not Rated",  # a film that was released without asking the board
    "unrated": "Not Rated",
    "nr": "Not Rated",
    "ur": "Not Rated",
    "gp": "PG",  # PG's name until 1972
    "m": "PG",  # and until 1970
    "x": "NC-17",  # renamed in 1990
    "touspublics": "TP",
    "fskab0": "FSK 0",
    "fskab6": "FSK 6",
    "fskab12": "FSK 12",
    "fskab16": "FSK 16",
    "fskab18": "FSK 18",
    "ua": "U/A",
}
# The first board that has a text gives its spelling: `pg13` is the MPA's PG-13.
_KNOWN: Final = {_bare(text): text for text in reversed(CERTIFICATES)} | _OTHER_WORDS


def certificate(text: str) -> str | None:
    """The certificate in its board's spelling: `pg 13` is PG-13, `fsk12` FSK 12; None: unknown."""
    return _KNOWN.get(_bare(text))
