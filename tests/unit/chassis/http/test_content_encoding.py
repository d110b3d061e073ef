"""Who can read what is compressed."""

import gzip

import pytest

from cinesync.chassis.http.content_encoding import (
    GZIPPED,
    HEADER_CHARS_MAX,
    VARY,
    SharedBody,
    accepts_gzip,
)


@pytest.mark.parametrize(
    "accept_encoding",
    ["gzip", "GZIP", "deflate, gzip;q=0.5", "gzip;q=1.0, *;q=0", "*", "br;q=1.0, *;q=0.1"],
)
def test_who_reads_gzip(accept_encoding: str) -> None:
    assert accepts_gzip(accept_encoding)


@pytest.mark.parametrize(
    "accept_encoding",
    ["", "identity", "br", "gzip;q=0", "*;q=1, gzip;q=0.000", "gzip;q=x", "*;q=0"],
)
def test_who_does_not(accept_encoding: str) -> None:
    assert not accepts_gzip(accept_encoding)


def test_it_is_compressed_once() -> None:
    shared = SharedBody(b"seat " * 1_000)
    assert shared.encoded("") == (shared.plain, [VARY])
    body, headers = shared.encoded("gzip")
    assert gzip.decompress(body) == shared.plain
    assert headers == [VARY, GZIPPED]
    assert shared.encoded("gzip, br")[0] is body


def test_a_header_of_any_length_is_not_kept() -> None:
    """A thousand of them would fill the memory."""
    cached = accepts_gzip.cache_info().currsize
    assert SharedBody(b"seat").encoded("gzip," + "x" * HEADER_CHARS_MAX) == (b"seat", [VARY])
    assert accepts_gzip.cache_info().currsize == cached
