"""A booking database for each test."""

import pytest

from tests.booking.scenes import BoxOffice
from tests.conftest import MakeDatabase


@pytest.fixture
async def office(make_database: MakeDatabase) -> BoxOffice:
    return BoxOffice(await make_database("booking"))
