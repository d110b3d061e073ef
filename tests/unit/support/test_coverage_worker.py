"""A test marked `no_cover` runs without any measurement."""

import sys

import pytest


@pytest.mark.no_cover
def test_a_test_without_coverage_is_not_traced() -> None:
    assert sys.gettrace() is None
