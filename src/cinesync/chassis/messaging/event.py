"""The base of all domain events, and their JSON.

An event's name is its msgspec tag, and stands first in its JSON:
`{"name": "payment.success", "version": 1, "event_id": …, "occurred_at": …, "trace": …, …}`.
A class states the name once, as `tag="payment.success"`. A change that older consumers cannot read
is a new version: the class then declares `version: Literal[2] = 2`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Literal, TypeVar
from uuid import UUID

import msgspec


class _Tag:
    """Reads the tag of an event, or of its class."""

    def __get__(self, event: object, event_type: type[msgspec.Struct]) -> str:
        return str(event_type.__struct_config__.tag)


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="name"):
    """A past-tense fact. `event_id` is its identity everywhere: outbox, inbox, bus, ledger.

    `trace` is the W3C `traceparent` of the request that caused it. Commands that run in batches
    copy it from what caused each event; elsewhere the outbox fills it in.
    """

    name: ClassVar[_Tag] = _Tag()

    version: Literal[1] = 1
    event_id: UUID
    occurred_at: datetime
    trace: str = ""


E = TypeVar("E", bound=Event)


class UnknownEvent(ValueError):
    """A message whose name or schema version is not known here."""


class Message(msgspec.Struct, frozen=True):
    """An encoded event, with what a bus needs to know without decoding it."""

    event_id: UUID
    name: str
    body: bytes


class _Envelope(msgspec.Struct, frozen=True):
    """What a body must state. The event's own decoder compares both, but fills in a missing one."""

    name: str
    version: int


_encoder = msgspec.json.Encoder()
_envelope_decoder = msgspec.json.Decoder(_Envelope)


def encode(event: Event) -> bytes:
    """JSON: name, version, then the other fields in the order of their declaration."""
    return _encoder.encode(event)


def decode(event_type: type[E], body: bytes) -> E:
    """Raises UnknownEvent when the bytes are not an `event_type` of the version known here."""
    try:
        _envelope_decoder.decode(body)
        event: E = _decoder(event_type).decode(body)
    except msgspec.MsgspecError as error:
        raise UnknownEvent(f"{event_type.name}: {error}") from error
    return event


@cache
def _decoder(event_type: type[Event]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(event_type)


def by_name(event_types: Iterable[type[Event]]) -> Mapping[str, type[Event]]:
    """Each event type under its routing key."""
    return {event_type.name: event_type for event_type in event_types}
