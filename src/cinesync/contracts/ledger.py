"""What the ledger tells the others: which events are in the chain for ever."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from cinesync.chassis.messaging.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedEntry:
    """The event `entry_event_id` is entry `index` of the log."""

    entry_event_id: UUID
    kind: str
    booking_id: UUID
    index: int


class LedgerCommitted(Event, frozen=True, kw_only=True):
    """These entries are in the log, as the header at `height` proves.

    An entry is told of once; entries come by the batch, since there are more of them than of
    anything else.
    """

    name: ClassVar[str] = "ledger.committed"

    height: int
    entries: Sequence[CommittedEntry]
