"""How long a retry waits."""

import pytest

from cinesync.chassis.backoff import Backoff


def test_the_pause_doubles_up_to_its_maximum() -> None:
    backoff = Backoff(0.5, 60.0, jitter=0.0)
    pauses = [backoff.pause_seconds(failures) for failures in (0, 1, 2, 3, 10, 10_000)]
    assert pauses == [0.0, 0.5, 1.0, 2.0, 60.0, 60.0]


@pytest.mark.parametrize(("random", "pause_seconds"), [(0.0, 4.0), (0.5, 3.0), (1.0, 2.0)])
def test_jitter_is_the_share_that_chance_takes_away(random: float, pause_seconds: float) -> None:
    backoff = Backoff(1.0, 4.0, jitter=0.5, random=lambda: random)
    assert backoff.pause_seconds(3) == pause_seconds


def test_clients_that_failed_together_do_not_retry_together() -> None:
    backoff = Backoff(1.0, 1.0)
    pauses = {backoff.pause_seconds(1) for _ in range(100)}
    assert len(pauses) > 90
    assert all(0.5 <= seconds <= 1.0 for seconds in pauses)
