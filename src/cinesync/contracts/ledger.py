"""Events of the ledger service."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from cinesync.chassis.messaging.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedEntry:
    """The event `entry_event_id` is entry `index` of the log."""

    entry_event_id: UUID
    kind: str
    booking_id: UUID
    index: int


class LedgerCommitted(Event, frozen=True, kw_only=True, tag="ledger.committed"):
    """These entries are in the log, as the header at `height` proves.

    Each entry is in one such event.
    """

    height: int
    entries: Sequence[CommittedEntry]
