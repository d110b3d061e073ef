"""Auditoriums: shapes, neighbours, companions."""

from collections import Counter
from itertools import pairwise

import pytest

from cinesync.contracts.movies import Layout, LayoutSeat
from cinesync.movies.demo.floor_plans import FLOOR_PLANS, FloorPlan
from cinesync.movies.layouts import PlanUnclear, drawn, layout
from cinesync.movies.model import ZONES


@pytest.fixture(
    params=[(name, mirrored) for name in FLOOR_PLANS for mirrored in (False, True)], ids=str
)
def room(request: pytest.FixtureRequest) -> Layout:
    """Every room of the chain, both ways round."""
    name, mirrored = request.param
    return layout(name, mirrored=mirrored)


def _rows(room: Layout) -> dict[str, list[LayoutSeat]]:
    rows: dict[str, list[LayoutSeat]] = {}
    for seat in room.seats:
        rows.setdefault(seat.row, []).append(seat)
    return rows


def test_every_seat_has_its_own_label_and_place(room: Layout) -> None:
    assert len({seat.seat for seat in room.seats}) == len(room.seats)
    assert len({(seat.x, seat.y) for seat in room.seats}) == len(room.seats)
    assert all(seat.seat == f"{seat.row}{seat.number}" for seat in room.seats)
    assert {seat.zone for seat in room.seats} <= set(ZONES)
    assert min(seat.x for seat in room.seats) >= 0


def test_seats_are_numbered_from_left_to_right(room: Layout) -> None:
    for row in _rows(room).values():
        assert [seat.number for seat in row] == list(range(1, len(row) + 1))
        assert all(left.x < right.x for left, right in pairwise(row))


def test_a_run_is_a_row_of_neighbours_without_a_gap(room: Layout) -> None:
    for row in _rows(room).values():
        gaps = [right.x - left.x for left, right in pairwise(row) if left.run == right.run]
        wide = [right.x - left.x for left, right in pairwise(row) if left.run != right.run]
        assert not gaps or max(gaps) < min(wide, default=99.0)
        assert all(right.run - left.run in {0, 1} for left, right in pairwise(row))


def test_every_wheelchair_place_has_a_companion_at_its_side(room: Layout) -> None:
    by_label = {seat.seat: seat for seat in room.seats}
    places = {seat.seat for seat in room.seats if seat.kind == "wheelchair"}
    companions = [seat for seat in room.seats if seat.kind == "companion"]
    assert places
    assert {seat.companion_of for seat in companions} == places
    assert len(companions) == len(places)
    for seat in companions:
        place = by_label[seat.companion_of or ""]
        assert (place.row, place.run) == (seat.row, seat.run)
        assert abs(place.number - seat.number) == 1


def test_the_imax_has_450_seats_in_curved_rows_with_two_aisles() -> None:
    rows = _rows(layout("imax_grand"))
    assert sum(map(len, rows.values())) == 450
    assert all({seat.run for seat in row} == {0, 1, 2} for row in rows.values())
    longest = max(rows.values(), key=len)
    assert longest[0].y < longest[len(longest) // 2].y > longest[-1].y


def test_the_vip_room_has_60_recliners_in_pairs() -> None:
    room = layout("vip_pairs")
    pairs = Counter((seat.row, seat.run) for seat in room.seats)
    assert len(room.seats) == 60
    assert set(pairs.values()) == {2}
    assert {seat.kind for seat in room.seats} == {"recliner", "wheelchair", "companion"}


def test_the_studio_misses_its_right_back_corner_and_mirrored_its_left_one() -> None:
    rows = list(_rows(layout("studio_corner")).values())
    assert rows[-1][0].x == 0
    assert rows[-1][-1].x < max(seat.x for seat in rows[3])
    mirrored = list(_rows(layout("studio_corner", mirrored=True)).values())
    assert mirrored[-1][0].x > 0


def test_rooms_differ_and_ids_follow_the_seats() -> None:
    shapes = {
        name: frozenset((seat.x, seat.y) for seat in layout(name).seats) for name in FLOOR_PLANS
    }
    assert len(set(shapes.values())) == len(FLOOR_PLANS) >= 10
    assert layout("fan") == layout("fan")
    assert layout("fan").layout_id != layout("fan", mirrored=True).layout_id


def test_the_alphabet_does_not_end_the_room() -> None:
    room = drawn(FloorPlan("\n".join(["ss"] * 28)))
    assert room.seats[-1].seat == "AB2"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("ssX", "'X' is no seat"),
        ("sWs", "a wheelchair place and its companion seat go side by side"),
        ("W C", "row A: a wheelchair place"),
        ("WCW", "row A: a wheelchair place"),
        ("", "0 seats; a room has 1 to 1000"),
        ("s" * 1001, "1001 seats"),
    ],
)
def test_an_unclear_plan_is_refused(rows: str, why: str) -> None:
    with pytest.raises(PlanUnclear, match=why):
        drawn(FloorPlan(rows))
