"""Folders that PostgreSQL's user can reach."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Not in pytest's own folder: every start of pytest closes that to all but its owner, and
    PostgreSQL never runs as root."""
    with tempfile.TemporaryDirectory(prefix="cinesync-tests-") as folder:
        yield Path(folder)
