"""The shape every domain event has, and its bytes on the wire."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, TypeVar
from uuid import UUID

import msgspec


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A past-tense fact. `event_id` is its identity everywhere: outbox, inbox, bus, ledger.

    `trace` is the W3C `traceparent` of the request that caused it. Commands that run in batches
    copy it from what caused each event; elsewhere the outbox fills it in.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1

    event_id: UUID
    occurred_at: datetime
    trace: str = ""


E = TypeVar("E", bound=Event)


class UnknownEvent(ValueError):
    """A message whose name or schema version nobody here understands."""


class Message(msgspec.Struct, frozen=True):
    """An event as it travels: its bytes, beside what a bus needs without decoding them."""

    event_id: UUID
    name: str
    body: bytes


class _Kind(msgspec.Struct, frozen=True):
    name: str | None = None
    version: int | None = None


class _Form(NamedTuple):
    """How the bytes of one type begin when they are made here, and who reads them."""

    head: bytes
    decoder: msgspec.json.Decoder[Any]


_encoder = msgspec.json.Encoder()
_forms: dict[type[Event], _Form] = {}


def encode(event: Event) -> bytes:
    """JSON of the event's fields behind its `name` and `version`."""
    return _form(type(event)).head + _encoder.encode(event)[1:]


def decode(event_type: type[E], body: bytes) -> E:
    """Raises UnknownEvent when the bytes are not an `event_type` of the version known here."""
    form = _form(event_type)
    try:
        if not body.startswith(form.head):  # made elsewhere, or not one of these
            _check_kind(event_type, msgspec.json.decode(body, type=_Kind))
        event: E = form.decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise UnknownEvent(f"{event_type.name}: {error}") from error
    return event


def _form(event_type: type[Event]) -> _Form:
    if event_type not in _forms:
        head = b'{"name":"%b","version":%d,' % (event_type.name.encode(), event_type.version)
        _forms[event_type] = _Form(head, msgspec.json.Decoder(event_type))
    return _forms[event_type]


def _check_kind(event_type: type[Event], kind: _Kind) -> None:
    if (kind.name, kind.version) != (event_type.name, event_type.version):
        raise UnknownEvent(
            f"{kind.name!r} version {kind.version!r} is not {event_type.name!r} version "
            f"{event_type.version}"
        )


def by_name(event_types: Iterable[type[Event]]) -> Mapping[str, type[Event]]:
    """Each event type under its routing key."""
    return {event_type.name: event_type for event_type in event_types}
