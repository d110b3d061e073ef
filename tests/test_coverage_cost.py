"""What is not to be covered is not watched."""

import sys

import pytest


@pytest.mark.no_cover
def test_nobody_watches_what_is_not_to_be_covered() -> None:
    assert sys.gettrace() is None
