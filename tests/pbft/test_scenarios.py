"""The golden transcripts: regenerate with `python -m tests.pbft.scripts`, then read the diff."""

import pytest

from tests.pbft.scripts import FOLDER, SCENES


@pytest.mark.parametrize("name", SCENES)
def test_the_protocol_speaks_as_written(name: str) -> None:
    assert SCENES[name]()[1].text() == (FOLDER / f"{name}.txt").read_text()
