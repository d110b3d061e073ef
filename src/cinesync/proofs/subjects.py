"""The chain's map from subjects to their entries: the key of a subject and its value.

A subject is a booking; entries of its payments, refunds and refusals carry its id too. The ids are
public in the entries, so their hashes in the map disclose nothing.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Final

from cinesync.proofs.merkle_map import ValueUpdate

START: Final = bytes(32)
KEY_DOMAIN: Final = b"cinesync/subject/1\x00"
ENTRY_DOMAIN: Final = b"cinesync/subject-entry/1\x00"
_INDEX_BYTES: Final = 8

# Subject, index and leaf hash of an entry.
Addition = tuple[str, int, bytes]


def key_of(booking_id: str) -> bytes:
    return hashlib.sha256(KEY_DOMAIN + booking_id.encode()).digest()


def value_of(entries: Iterable[tuple[int, bytes]], before: bytes | None = None) -> bytes | None:
    """A hash chain over index and leaf hash of each entry; `before` is the value so far."""
    value = before
    for index, leaf in entries:
        link = (value or START) + index.to_bytes(_INDEX_BYTES) + leaf
        value = hashlib.sha256(ENTRY_DOMAIN + link).digest()
    return value


def changes(additions: Iterable[Addition]) -> dict[bytes, ValueUpdate]:
    """The updates of the map that entries make, in their order."""
    of_subject: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for subject, index, leaf in additions:
        of_subject[subject].append((index, leaf))
    return {key_of(subject): partial(value_of, some) for subject, some in of_subject.items()}
