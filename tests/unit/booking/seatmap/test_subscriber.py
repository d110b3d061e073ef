"""Streams of seat maps, shared out among those who watch."""

import pytest

from cinesync.booking.seatmap.hub import SeatMapHub, TooManyListenersHere
from tests.integration.booking.seatmap.test_hub import SHOW_ID, Database


async def test_one_address_has_a_share_of_the_streams_and_gets_it_back() -> None:
    hub = SeatMapHub(Database().load, subscribers_max=10, subscribers_per_address_max=2)
    streams = [await hub.subscribe(SHOW_ID, None, "203.0.113.7") for _ in range(2)]
    for stream in streams:
        await anext(stream)
    with pytest.raises(TooManyListenersHere) as refused:
        await hub.subscribe(SHOW_ID, None, "203.0.113.7")
    assert (refused.value.status, refused.value.members["retry_after_seconds"]) == (429, 5)
    await anext(await hub.subscribe(SHOW_ID, None, "203.0.113.8"))
    await streams[0].aclose()  # type: ignore[attr-defined]
    await anext(await hub.subscribe(SHOW_ID, None, "203.0.113.7"))
