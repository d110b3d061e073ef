"""Events and their bytes."""

from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

import msgspec
import pytest

from cinesync.chassis.messaging import event
from cinesync.chassis.messaging.event import Event, UnknownEvent


class SeatsHeld(Event, frozen=True, kw_only=True, tag="seats.held"):
    """Version 2 of a test event."""

    version: Literal[2] = 2  # type: ignore[assignment]

    show_id: UUID
    seats: tuple[str, ...] = ()


HELD = SeatsHeld(
    event_id=UUID(int=1),
    occurred_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    show_id=UUID(int=2),
    seats=("F7", "F8"),
    trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)


def test_an_event_survives_the_wire() -> None:
    assert event.decode(SeatsHeld, event.encode(HELD)) == HELD


def test_name_and_version_stand_first() -> None:
    assert event.encode(HELD) == (
        b'{"name":"seats.held","version":2,"event_id":"00000000-0000-0000-0000-000000000001",'
        b'"occurred_at":"2026-01-02T03:04:05.678901Z",'
        b'"trace":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",'
        b'"show_id":"00000000-0000-0000-0000-000000000002","seats":["F7","F8"]}'
    )


def test_fields_are_read_in_any_order() -> None:
    envelope = msgspec.json.decode(event.encode(HELD))
    reversed_ = dict(reversed(envelope.items()))
    assert event.decode(SeatsHeld, msgspec.json.encode(reversed_)) == HELD


def test_an_unknown_field_is_ignored() -> None:
    envelope = msgspec.json.decode(event.encode(HELD)) | {"popcorn": True}
    assert event.decode(SeatsHeld, msgspec.json.encode(envelope)) == HELD


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 3}, "3 - at `\\$.version`"),
        ({"name": "seats.released"}, "seats.released"),
        ({"event_id": "not an id"}, "UUID"),
        ({"show_id": None}, "show_id"),
        ({"occurred_at": "2026-01-02"}, "datetime"),
    ],
)
def test_another_event_is_refused(change: dict[str, object], reason: str) -> None:
    envelope = msgspec.json.decode(event.encode(HELD)) | change
    with pytest.raises(UnknownEvent, match=reason):
        event.decode(SeatsHeld, msgspec.json.encode(envelope))


@pytest.mark.parametrize("missing", ["name", "version", "event_id", "show_id"])
def test_a_body_that_lacks_a_field_is_refused(missing: str) -> None:
    """A default must not stand for the name or the version that nobody stated."""
    envelope = msgspec.json.decode(event.encode(HELD))
    del envelope[missing]
    with pytest.raises(UnknownEvent, match=missing):
        event.decode(SeatsHeld, msgspec.json.encode(envelope))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff"])
def test_bytes_that_are_no_event_are_refused(body: bytes) -> None:
    with pytest.raises(UnknownEvent):
        event.decode(SeatsHeld, body)


def test_event_types_are_found_by_name() -> None:
    assert event.by_name([SeatsHeld]) == {"seats.held": SeatsHeld}
