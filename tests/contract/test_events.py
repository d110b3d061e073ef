"""The bytes of every event: older processes write them, and older outboxes and queues hold them."""

from pathlib import Path

import pytest

from cinesync.chassis.messaging.event import by_name, decode, encode
from cinesync.contracts import CONSUMERS

# Recorded from version 0.1.0. Lines are added when a field is, and never changed.
RECORDED = (Path(__file__).parent / "recorded" / "events.jsonl").read_bytes().splitlines()
EVENT_TYPES = by_name(CONSUMERS)


def name_of(body: bytes) -> str:
    """`"name"` is the first member of every event."""
    return body.removeprefix(b'{"name":"').partition(b'"')[0].decode()


@pytest.mark.parametrize(
    "body", RECORDED, ids=[f"{name_of(body)}-{line}" for line, body in enumerate(RECORDED, 1)]
)
def test_an_event_is_read_and_written_as_recorded(body: bytes) -> None:
    event = decode(EVENT_TYPES[name_of(body)], body)
    assert encode(event) == body


def test_every_event_is_recorded() -> None:
    assert {name_of(body) for body in RECORDED} == set(EVENT_TYPES)
