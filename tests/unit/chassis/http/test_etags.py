"""What a client sends in If-None-Match, and whether it has the representation."""

import pytest

from cinesync.chassis.http.etags import HEADER_CHARS_MAX, etag_of, matches, weak_etag

ETAG = etag_of(b"seats")


@pytest.mark.parametrize(
    "if_none_match",
    [
        ETAG,
        weak_etag(ETAG).decode(),
        f'"other", {ETAG}',
        f'W/"a,b",W/{ETAG} , "z"',
        "*",
    ],
)
def test_a_client_that_has_it(if_none_match: str) -> None:
    assert matches(ETAG, if_none_match)


def test_a_header_that_is_too_long_for_the_cache_is_read_too() -> None:
    assert matches(ETAG, ", ".join(['"other"'] * HEADER_CHARS_MAX + [ETAG]))


@pytest.mark.parametrize("if_none_match", ["", '"other"', "nonsense", f"{ETAG}x", '"*"'])
def test_a_client_that_does_not(if_none_match: str) -> None:
    assert not matches(ETAG, if_none_match)


def test_equal_bytes_have_equal_tags() -> None:
    assert etag_of(b"seats") == ETAG != etag_of(b"seat")
