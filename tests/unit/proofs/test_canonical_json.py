"""One value, one spelling."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cinesync.proofs import canonical_json
from cinesync.proofs.canonical_json import NotCanonical

WHOLE = st.integers(-(2**53) + 1, 2**53 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(VALUES)
def test_what_is_dumped_is_loaded_again(value: Any) -> None:
    assert canonical_json.load(canonical_json.dump(value)) == value


@settings(deadline=None)
@given(VALUES)
def test_json_that_is_not_canonical_is_not_loaded(value: Any) -> None:
    for other in (json.dumps(value, indent=1), json.dumps(value) + " "):
        if other.encode() != canonical_json.dump(value):
            with pytest.raises(NotCanonical):
                canonical_json.load(other.encode())


def test_members_are_sorted_by_their_utf_16_code_units() -> None:
    """The example of RFC 8785, section 3.2.3."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    found = json.loads(canonical_json.dump(dict.fromkeys(names, 0)))
    assert list(found) == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_control_characters_are_escaped_as_in_javascript() -> None:
    """The example of RFC 8785, section 3.2.2."""
    text = "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/"
    assert canonical_json.dump(text) == '"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'.encode()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"1.0", "not a whole number"),
        (b"1e3", "not a whole number"),
        (b"NaN", "not a whole number"),
        (b"-0", "byte 0: not canonical"),
        (b"9007199254740993", "not exact"),
        (b"9" * 5000, "too long"),
        (b'{"a":1,"a":1}', "not canonical"),
        (b'{"b":1,"a":1}', "byte 2: not canonical"),
        (b'"\\u0041"', "not canonical"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\ud800":1}', "surrogate"),
        (b'"\xff"', "byte 1: not UTF-8"),
        (b"[1", "character 2"),
        (b"", "character 0"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 30 + b"]" * 30, "nested too deeply"),
        (b"\xef\xbb\xbf1", "Unexpected UTF-8 BOM|character 0"),
    ],
)
def test_everything_else_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(NotCanonical, match=why):
        canonical_json.load(data)


def test_fractions_are_refused() -> None:
    with pytest.raises(NotCanonical, match="not a whole number"):
        canonical_json.dump({"price": 9.5})
