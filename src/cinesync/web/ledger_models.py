"""Responses of the ledger API. Pure; headers, entries and certificates are those of `proofs`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import Struct, field

from cinesync.pbft import quorum
from cinesync.proofs import headers, merkle_log, receipts
from cinesync.proofs.entries import LedgerEntry
from cinesync.proofs.headers import BlockHeader
from cinesync.proofs.receipts import HeaderCertificate


class ValidatorSummary(Struct, frozen=True):
    """A validator's report about itself; only `replica` counts while it does not answer."""

    replica: int
    answers: bool = False
    view: int = 0
    primary: int = 0
    height: int = 0
    active: bool = False
    abstaining: bool = False


class LedgerStatus(Struct, frozen=True):
    """`height` is the highest that f + 1 validators reach, or None when too few answer."""

    chain: str
    height: int | None = None
    waiting: int = 0
    validators: list[ValidatorSummary] = field(default_factory=list)

    @property
    def answering(self) -> list[ValidatorSummary]:
        return [one for one in self.validators if one.answers]

    @property
    def quorum(self) -> int:
        """How many validators must agree on a block."""
        return quorum.quorum(len(self.validators))

    @property
    def weak_quorum(self) -> int:
        """Of this many validators at least one is honest."""
        return quorum.weak_quorum(len(self.validators))

    @property
    def primary(self) -> int | None:
        """The primary of the highest view that a weak quorum has reached."""
        views = sorted((one.view for one in self.answering), reverse=True)
        if len(views) < self.weak_quorum:
            return None
        view = views[self.weak_quorum - 1]
        return next(one.primary for one in self.answering if one.view == view)

    def lag(self, one: ValidatorSummary) -> int:
        return max(0, (self.height or 0) - one.height)


class LogEntry(Struct, frozen=True):
    """An entry, its index in the log and the height of its block."""

    index: int
    height: int
    entry: LedgerEntry


@dataclass(frozen=True)
class LedgerBlock:
    """A block's header, with its entries and its certificate if the API sent them."""

    header: BlockHeader
    entries: Sequence[LogEntry] = ()
    certificate: HeaderCertificate | None = None

    @property
    def leaves(self) -> list[bytes]:
        """The leaf hashes of the entries."""
        return [merkle_log.leaf_hash(one.entry.encode()) for one in self.entries]

    def position(self, event_id: str) -> int | None:
        """The position of an event's entry in this block."""
        found = (at for at, one in enumerate(self.entries) if one.entry.event_id == event_id)
        return next(found, None)


def block_from_json(value: dict[str, Any]) -> LedgerBlock:
    """Raises InvalidDocument and msgspec.ValidationError."""
    certificate = value.get("certificate")
    return LedgerBlock(
        headers.from_json(value.get("header"), "header"),
        msgspec.convert(value.get("entries", []), list[LogEntry]),
        receipts.certificate_from_json(certificate, "certificate") if certificate else None,
    )
