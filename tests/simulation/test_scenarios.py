"""The golden transcripts; `python -m tests.simulation.scripted` makes them anew: read the diff."""

import pytest

from tests.simulation.scripted import FOLDER, SCENES


@pytest.mark.parametrize("name", SCENES)
def test_the_protocol_speaks_as_written(name: str) -> None:
    assert SCENES[name]()[1].text() == (FOLDER / f"{name}.txt").read_text()
