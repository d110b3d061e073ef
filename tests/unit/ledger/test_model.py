"""The service's pure rules."""

import pytest

from cinesync.chassis import clock
from cinesync.ledger.model import Batch, grouped
from cinesync.validator.network.client import first_sequence


def batches(*sizes: int) -> list[Batch]:
    return [
        Batch(batch_id=clock.new_id(), event_ids=[clock.new_id() for _ in range(size)])
        for size in sizes
    ]


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([], []),
        ([1], [[1]]),
        ([1, 2, 3], [[1, 2, 3]]),
        ([4, 6], [[4, 6]]),
        ([4, 7], [[4], [7]]),
        ([10, 10, 1], [[10], [10], [1]]),
        ([9, 2, 8, 1], [[9], [2, 8], [1]]),
    ],
)
def test_batches_share_a_request_and_stay_whole(sizes: list[int], parts: list[list[int]]) -> None:
    made = batches(*sizes)
    found = grouped(made, 10)
    assert [[len(batch.event_ids) for batch in part] for part in found] == parts
    assert [batch for part in found for batch in part] == made


def test_a_batch_that_fits_into_no_request_is_a_defect() -> None:
    with pytest.raises(AssertionError):
        grouped(batches(11), 10)


def test_a_sequence_is_never_used_again() -> None:
    assert first_sequence(10, 0) == 10
    assert first_sequence(10, 1_000) == 1_024_000
