"""The golden transcripts; `python -m tests.simulation.scripted` rewrites them: read the diff."""

import pytest

from tests.simulation.scripted import FOLDER, SCENARIOS


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_matches_its_golden_transcript(name: str) -> None:
    assert SCENARIOS[name]()[1].text() == (FOLDER / f"{name}.txt").read_text()
