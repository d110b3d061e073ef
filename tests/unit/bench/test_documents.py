"""What the documents say is what was measured last, and what follows from it."""

import pytest

from bench import capacity, claims, documents, machine
from bench.capacity import Assumptions

RUN = {
    "purchases": {
        "closed": {"cpu_ms_each": {"shop": 1.0, "postgres": 0.5, "bank": 9.0, "generator": 9.0}}
    },
    "pages": {"home": {"cpu_ms_each": {"shop": 2.0}}},
}
# 1,000,000 an hour at 3.6 ms are one core that never rests.
ALWAYS = Assumptions(peak_to_mean=1, cpu_share_max=1, cores_a_machine=4, looks=())


def test_cores_follow_from_cpu_time_peak_and_share() -> None:
    assert capacity.cores_at_peak(3.6, ALWAYS) == pytest.approx(1)
    at_peak = Assumptions(peak_to_mean=3, cpu_share_max=0.5)
    assert capacity.cores_at_peak(3.6, at_peak) == pytest.approx(6)


def test_a_role_needs_its_cores_and_survives_a_loss() -> None:
    busy = Assumptions(purchases_an_hour=100_000_000, peak_to_mean=1, cpu_share_max=1, looks=())
    found = {need.role.name: need for need in capacity.needs([RUN], busy)}
    assert found["API and pages"].machines == 4  # 27.8 cores on machines of 8
    assert found["PostgreSQL"].machines == 2
    few = {need.role.name: need.machines for need in capacity.needs([RUN], ALWAYS)}
    assert few == {"API and pages": 2, "PostgreSQL": 2}


def test_looking_costs_as_often_as_somebody_looks() -> None:
    looking = Assumptions(looks=(("pages.home", 5),))
    [api, _] = capacity.needs([RUN], looking)
    assert (api.buying_ms, api.looking_ms, api.cpu_ms) == (1.0, 10.0, 11.0)


def test_the_page_adds_up() -> None:
    page = capacity.page([RUN], ALWAYS)
    assert "| **all** | 1.50 | 0.0 | 0.4 | **4** | |" in page
    assert capacity.page([{}], ALWAYS) == "Nothing is measured yet.\n"


def test_every_claim_has_a_name_of_its_own() -> None:
    for titles in ([row.title for row in claims.ROWS], [target.title for target in claims.TARGETS]):
        assert len(titles) == len(set(titles))


def test_the_documents_tell_the_newest_results() -> None:
    results = documents.newest()
    texts = documents.rewritten(results) if results else {}
    for file, text in texts.items():
        assert file.read_text() == text, f"{file.name}: run `python -m bench tables`"


def test_results_find_their_places_in_the_documents() -> None:
    results = {
        "machine": machine.describe(),
        "measured_at": "2026-11-21T20:00:00+00:00",
        "runs": [RUN, RUN],
    }
    texts = documents.rewritten(results)
    assert set(texts) == {documents.README, documents.PERFORMANCE, documents.CAPACITY}
    assert "2026-11-21, 2 runs: the median" in texts[documents.PERFORMANCE]
    assert "| API and pages | 1.00 | 10.0 |" in texts[documents.CAPACITY]
    assert "1,000,000 purchases an hour are 278 a second" in texts[documents.CAPACITY]
