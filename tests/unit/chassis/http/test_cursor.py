"""Cursors of lists: what one route encodes, the next request decodes, and nothing else."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinesync.chassis.http.cursor import (
    decode_cursor,
    encode_cursor,
    instant,
    integer,
    page_of,
)
from cinesync.chassis.problems import Invalid

TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)
TIMES = st.datetimes(
    min_value=datetime(1971, 1, 2),  # noqa: DTZ001 the strategy adds the zone
    max_value=datetime(9998, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)


@given(TEXTS, TIMES, st.uuids(), st.integers(0, 10**15 - 1))
def test_parts_come_back_as_they_went(text: str, time: datetime, key: UUID, count: int) -> None:
    assert decode_cursor(encode_cursor(text, time, key), str, instant, UUID) == (text, time, key)
    assert decode_cursor(encode_cursor(count), integer) == (count,)


@pytest.mark.parametrize("cursor", [None, ""])
def test_without_a_cursor_a_list_begins_at_its_start(cursor: str | None) -> None:
    assert decode_cursor(cursor, UUID) is None


@pytest.mark.parametrize(
    ("part", "parser"),
    [
        ("-1", integer),
        ("1.0", integer),
        ("", integer),
        ("9" * 16, integer),
        ("\u0661", integer),  # a digit, but not of ASCII
        ("2026-01-01T00:00", instant),
        ("0001-01-01T00:00+14:00", instant),
        ("9999-12-31T23:59-14:00", instant),
        ("soon", instant),
        ("no id", UUID),
    ],
)
def test_a_part_of_another_kind_is_refused(part: str, parser: Callable[[str], Any]) -> None:
    with pytest.raises(Invalid, match="`after` takes the `next`"):
        decode_cursor(encode_cursor(part), parser)


@pytest.mark.parametrize(("rows", "items"), [(0, 0), (2, 2), (3, 2)])
def test_a_page_has_a_cursor_when_there_is_more(rows: int, items: int) -> None:
    page = page_of(range(rows), 2, lambda row: (row,))
    assert list(page.items) == list(range(items))
    assert page.next == (encode_cursor(1) if rows > items else None)
