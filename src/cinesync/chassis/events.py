"""The shape every domain event has, and its bytes on the wire."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A past-tense fact. `event_id` is its identity everywhere: outbox, inbox, bus, ledger.

    `trace` is the W3C `traceparent` of the request that caused it. Commands that run in batches
    copy it from what caused each event; elsewhere the outbox fills it in.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    event_id: UUID
    occurred_at: datetime
    trace: str = ""


class UnknownEvent(ValueError):
    """A message whose name or schema version nobody here understands."""


@dataclass(frozen=True, slots=True)
class Message:
    """An event as it travels: its bytes, beside what a bus needs without decoding them."""

    event_id: UUID
    name: str
    body: bytes


_encoder = msgspec.json.Encoder()


def encode(event: Event) -> bytes:
    """JSON of the event's fields with its `name` and `version` beside them."""
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
    return _encoder.encode({"name": event.name, "version": event.version, **fields})


def decode(event_type: type[Event], body: bytes) -> Event:
    """Raises UnknownEvent when the bytes are not an `event_type` of the version known here."""
    try:
        envelope: dict[str, Any] = msgspec.json.decode(body, type=dict[str, Any])
        name, version = envelope.pop("name", None), envelope.pop("version", None)
        if (name, version) != (event_type.name, event_type.version):
            raise UnknownEvent(
                f"{name!r} version {version!r} is not {event_type.name!r} version "
                f"{event_type.version}"
            )
        return msgspec.convert(envelope, event_type)
    except msgspec.MsgspecError as error:
        raise UnknownEvent(f"{event_type.name}: {error}") from error


def by_name(event_types: Iterable[type[Event]]) -> Mapping[str, type[Event]]:
    """Each event type under its routing key."""
    return {event_type.name: event_type for event_type in event_types}
