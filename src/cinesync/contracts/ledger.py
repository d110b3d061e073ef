"""What the ledger tells the others: which events are in the chain for ever."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from cinesync.chassis.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerCommitted(Event):
    """The event `entry_event_id` is entry `index` of the log, as the header at `height` proves."""

    name: ClassVar[str] = "ledger.committed"

    entry_event_id: UUID
    kind: str
    booking_id: UUID
    height: int
    index: int
