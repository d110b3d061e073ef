"""Times as people read them at the theater."""

from datetime import UTC, datetime

import pytest
from flask import Flask

from cinesync.web.formats import clock_time, date_time


@pytest.mark.parametrize(
    ("at", "time_zone", "expected"),
    [
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), "Europe/London", "01:30 BST"),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), "Europe/London", "01:30 GMT"),
        (datetime(2026, 10, 25, 2, 30, tzinfo=UTC), "Europe/London", "02:30"),
        (datetime(2026, 11, 1, 5, 30, tzinfo=UTC), "America/New_York", "01:30 EDT"),
        (datetime(2026, 11, 1, 6, 30, tzinfo=UTC), "America/New_York", "01:30 EST"),
        (datetime(2026, 6, 1, 18, 30, tzinfo=UTC), "Asia/Dubai", "22:30"),
    ],
)
def test_a_repeated_hour_names_its_time_zone(
    storefront: Flask, at: datetime, time_zone: str, expected: str
) -> None:
    with storefront.test_request_context():
        assert clock_time(at, time_zone) == expected
        assert date_time(at, time_zone).endswith(expected)
