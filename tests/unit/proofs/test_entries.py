"""Entries: facts in the open, persons behind salted commitments, one spelling."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from itertools import count
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinesync.contracts.booking import BookingConfirmed
from cinesync.contracts.payment import PaymentSuccess
from cinesync.proofs import canonical_json, entries
from cinesync.proofs.entries import BadEntry
from tests.support.ledger_chains import entry

SALT = bytes(range(32))
CUSTOMER = UUID(int=77)
PAID = PaymentSuccess(
    event_id=UUID(int=1),
    occurred_at=datetime(2026, 11, 21, 20, 0, 0, 123457, tzinfo=timezone(timedelta(hours=1))),
    trace="00-abc-def-01",
    payment_id=UUID(int=2),
    hold_id=UUID(int=3),
    customer_id=CUSTOMER,
    amount_cents=2400,
    currency="EUR",
    provider="sandbox",
)


def test_an_event_becomes_an_entry_with_its_facts() -> None:
    made = entries.entry_of(PAID.name, PAID, SALT)
    assert made.kind == "payment.success"
    assert (made.event_id, made.booking_id) == (str(PAID.event_id), str(PAID.hold_id))
    assert made.time == 1_795_287_600_123_457
    assert datetime.fromtimestamp(made.time // 10**6, UTC) == datetime(2026, 11, 21, 19, tzinfo=UTC)
    assert made.facts == {
        "payment_id": str(PAID.payment_id),
        "amount_cents": 2400,
        "currency": "EUR",
        "provider": "sandbox",
    }


def test_the_subject_of_a_payment_is_its_hold() -> None:
    booked = BookingConfirmed(
        event_id=UUID(int=9),
        occurred_at=PAID.occurred_at,
        booking_id=PAID.hold_id,
        payment_id=PAID.payment_id,
        customer_id=CUSTOMER,
        show_id=UUID(int=5),
        region="eu",
        seats=("F7", "F8"),
        total_cents=2400,
        currency="EUR",
        late=False,
    )
    made = entries.entry_of(booked.name, booked, SALT)
    assert made.booking_id == str(PAID.hold_id)
    assert made.facts["seats"] == ["F7", "F8"]
    assert entries.decode(made.encode()) == made


def test_no_entry_names_its_customer() -> None:
    made = entries.entry_of(PAID.name, PAID, SALT)
    assert str(CUSTOMER).encode() not in made.encode()
    assert list(made.commitments) == ["customer_id"]


def test_the_salt_opens_a_commitment_and_nothing_else_does() -> None:
    made = entries.entry_of(PAID.name, PAID, SALT)
    held = made.commitments["customer_id"]
    assert held == entries.commitment(SALT, "customer_id", str(CUSTOMER))
    assert held != entries.commitment(bytes(32), "customer_id", str(CUSTOMER))
    assert held != entries.commitment(SALT, "customer_id", str(UUID(int=78)))
    assert held != entries.commitment(SALT, "payment_id", str(CUSTOMER))


def test_an_entry_is_read_back_as_it_was_written() -> None:
    assert entries.decode(entry(5).encode()) == entry(5)


ValueUpdate = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda e: e.pop("kind"), "kind"),
        (lambda e: e.pop("format"), "format"),
        (lambda e: e.update(extra=1), "extra"),
        (lambda e: e.update(format="cinesync-entry/2"), "format"),
        (lambda e: e.update(event_id="7"), "event_id"),
        (lambda e: e.update(event_id=e["event_id"] + "\n"), "event_id"),
        (lambda e: e.update(booking_id=e["booking_id"][:-1] + "F"), "booking_id"),
        (lambda e: e.update(booking_id=7), "booking_id"),
        (lambda e: e.update(event_id=f"{e['event_id']} {e['booking_id']}"), "event_id"),
        (lambda e: e.update(booking_id=f"{e['event_id']} {e['booking_id']}"), "booking_id"),
        (lambda e: e.update(event_id=e["event_id"][:-1]), "event_id"),
        (lambda e: e.update(kind="Kind"), "kind"),
        (lambda e: e["commitments"].update(Name="ab" * 32), "commitments"),
        (lambda e: e.update(kind=""), "kind"),
        (lambda e: e.update(kind=3), "kind"),
        (lambda e: e.update(time=True), "time"),
        (lambda e: e.update(time=-1), "time"),
        (lambda e: e.update(facts=[]), "facts"),
        (lambda e: e["facts"].update(Name=1), "facts"),
        (lambda e: e["facts"].update(deep={"a": 1}), "facts"),
        (lambda e: e.update(commitments=[]), "commitments"),
        (lambda e: e.update(commitments={"customer_id": "AB" * 32}), "commitments"),
        (lambda e: e.update(commitments={"customer_id": "ab"}), "commitments"),
        (lambda e: e["facts"].update(text="x" * 9000), "more than 8192"),
    ],
    ids=map(str, count()),
)
def test_an_invalid_entry_is_refused(change: ValueUpdate, why: str) -> None:
    value = entry(1).to_json()
    change(value)
    with pytest.raises(BadEntry, match=why):
        entries.decode(canonical_json.dump(value))


def test_bytes_that_are_not_json_are_refused() -> None:
    for data in (b"", b"[]", b"{", b"\xff", entry(1).encode().replace(b"2401", b"2401.0")):
        with pytest.raises(BadEntry):
            entries.decode(data)


def test_json_that_is_not_canonical_is_refused() -> None:
    data = entry(1).encode()
    for other in (data + b" ", data.replace(b"EUR", b"\\u0045UR"), data.replace(b",", b", ", 1)):
        with pytest.raises(BadEntry, match="not canonical"):
            entries.decode(other)
    with pytest.raises(BadEntry):
        entries.decode(data.replace(b"EUR", b"\\ud800"))


FACTS = st.dictionaries(
    st.from_regex(r"\A[a-z][a-z0-9_.]{0,63}\Z"),
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text()
    | st.lists(st.text(), max_size=3),
    max_size=6,
)


@settings(deadline=None)
@given(FACTS)
def test_the_fast_encoder_equals_the_canonical_one(facts: dict[str, Any]) -> None:
    made = msgspec.structs.replace(entry(1), facts=facts)
    assert made.encode() == canonical_json.dump(made.to_json())
    assert entries.decode(made.encode()) == made


@given(st.text(min_size=1))
def test_a_commitment_covers_canonical_json(value: str) -> None:
    opened = canonical_json.dump({"customer_id": value})
    expected = hashlib.sha256(entries.COMMITMENT_DOMAIN + SALT + opened).hexdigest()
    assert entries.commitment(SALT, "customer_id", value) == expected
