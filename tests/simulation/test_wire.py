"""Bytes from outside: the decoder accepts only what the encoder makes."""

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinesync.pbft import quorum
from cinesync.pbft.log import Abstaining, Damaged, LogRecord, RecordChain
from cinesync.pbft.messages import (
    FRAME_BYTES_MAX,
    Attestation,
    MalformedMessage,
    PbftMessage,
    ReplicaStatus,
    Request,
    decode,
    encode,
    payload,
)
from tests.simulation.scripted import SCENARIOS


def _frames() -> list[bytes]:
    """Real frames of every kind the scenes speak."""
    heard: list[bytes] = []
    for name in ("2_silent_primary", "7_lost_log", "8_new_member"):
        sim, _ = SCENARIOS[name]()
        heard += sim.invariants.frames
    return heard


FRAMES = _frames()
STATUS = ReplicaStatus(epoch=0, view=1, active=True, executed=2, stable=2)


def _accepted(frame: bytes) -> PbftMessage | None:
    try:
        return decode(frame)
    except MalformedMessage:
        return None


@given(st.binary(max_size=200))
def test_any_bytes_are_a_canonical_message_or_refused(frame: bytes) -> None:
    message = _accepted(frame)
    assert message is None or encode(message) == frame


@given(st.sampled_from(FRAMES), st.data())
def test_a_changed_frame_is_refused_or_another_message(frame: bytes, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(frame) - 1))
    changed = frame[:index] + data.draw(st.binary(max_size=3)) + frame[index + 1 :]
    message = _accepted(changed)
    assert message is None or encode(message) == changed


@given(st.sampled_from(FRAMES))
def test_every_frame_decodes_to_what_was_encoded(frame: bytes) -> None:
    assert encode(decode(frame)) == frame


NAMES_ON_THE_WIRE = (
    "request preprepare prepare commit checkpoint stableproof decided viewchange newview status"
    " links fetchblock blockfound fetchstate statefound fetchchunk chunkfound probe probeanswer"
    " reply"
)
NAMES_IN_THE_LOG = "stable accepted prepared content abstaining"


def test_a_renamed_class_keeps_its_name_on_the_wire_and_on_disk() -> None:
    """Signatures cover the name, and validators of two versions must understand each other."""
    sent = [kind.__struct_config__.tag for kind in get_args(PbftMessage)]
    assert sent == NAMES_ON_THE_WIRE.split()
    assert Attestation.__struct_config__.tag == "attestation"
    kept = [kind.__struct_config__.tag for kind in get_args(LogRecord)]
    assert kept[:5] == [f"log.{name}" for name in NAMES_IN_THE_LOG.split()]


def test_a_second_spelling_of_a_number_is_refused() -> None:
    frame = encode(STATUS)
    longer = frame.replace(b"\x00\x01\xc3", b"\x00\xcc\x01\xc3")
    assert longer != frame
    with pytest.raises(MalformedMessage, match="canonical"):
        decode(longer)


def test_a_number_above_the_limit_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        decode(encode(msgspec.structs.replace(STATUS, view=2**60)))


def test_a_giant_frame_is_refused_unread() -> None:
    with pytest.raises(MalformedMessage, match="bytes"):
        decode(bytes(FRAME_BYTES_MAX + 1))


def test_a_deep_frame_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        decode(b"\x91" * 100_000)


def test_the_signature_is_not_what_is_signed() -> None:
    request = Request("ada", 1, (b"x",))
    signed = msgspec.structs.replace(request, signature=b"s")
    assert payload(request) == payload(signed)


@given(st.integers(1, 300))
def test_two_quorums_share_an_honest_validator_and_one_can_always_form(n: int) -> None:
    f, enough = quorum.faults_max(n), quorum.quorum(n)
    assert 2 * enough - n >= f + 1
    assert enough <= n - f
    assert quorum.weak_quorum(n) == f + 1


RECORDS = RecordChain()
ROWS = [RECORDS.encode(Abstaining(height)) for height in range(5)]


@given(st.integers(0, 4), st.data())
def test_a_row_cut_short_is_dropped_only_at_the_end(index: int, data: st.DataObject) -> None:
    rows = list(ROWS)
    rows[index] = rows[index][: data.draw(st.integers(0, len(rows[index]) - 1))]
    if index == 4:
        assert len(RecordChain().decode(rows)) == 4
    else:
        with pytest.raises(Damaged):
            RecordChain().decode(rows)


@given(st.integers(0, 4), st.data())
def test_a_flipped_bit_damages_the_log(index: int, data: st.DataObject) -> None:
    row = bytearray(ROWS[index])
    row[data.draw(st.integers(0, len(row) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    rows = [*ROWS[:index], bytes(row), *ROWS[index + 1 :]]
    with pytest.raises(Damaged):
        RecordChain().decode(rows)


@given(st.permutations(ROWS))
def test_rows_in_another_order_are_damage(rows: list[bytes]) -> None:
    if rows != ROWS:
        with pytest.raises(Damaged):
            RecordChain().decode(rows)
