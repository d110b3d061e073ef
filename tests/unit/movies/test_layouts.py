"""Layouts of floor plans: labels, neighbours, companion seats."""

from collections import Counter
from itertools import pairwise

import pytest

from cinesync.contracts.movies import Layout, LayoutSeat
from cinesync.movies.demo.floor_plans import FLOOR_PLANS, layout
from cinesync.movies.layouts import FloorPlan, InvalidFloorPlan, layout_of
from cinesync.movies.model import ZONES


@pytest.fixture(
    params=[(name, mirrored) for name in FLOOR_PLANS for mirrored in (False, True)], ids=str
)
def auditorium(request: pytest.FixtureRequest) -> Layout:
    """Every layout of the chain, mirrored too."""
    name, mirrored = request.param
    return layout(name, mirrored=mirrored)


def _rows(auditorium: Layout) -> dict[str, list[LayoutSeat]]:
    rows: dict[str, list[LayoutSeat]] = {}
    for seat in auditorium.seats:
        rows.setdefault(seat.row, []).append(seat)
    return rows


def test_every_seat_has_its_own_label_and_place(auditorium: Layout) -> None:
    assert len({seat.seat for seat in auditorium.seats}) == len(auditorium.seats)
    assert len({(seat.x, seat.y) for seat in auditorium.seats}) == len(auditorium.seats)
    assert all(seat.seat == f"{seat.row}{seat.number}" for seat in auditorium.seats)
    assert {seat.zone for seat in auditorium.seats} <= set(ZONES)
    assert min(seat.x for seat in auditorium.seats) >= 0


def test_seats_are_numbered_from_left_to_right(auditorium: Layout) -> None:
    for row in _rows(auditorium).values():
        assert [seat.number for seat in row] == list(range(1, len(row) + 1))
        assert all(left.x < right.x for left, right in pairwise(row))


def test_a_run_is_a_row_of_neighbours_without_a_gap(auditorium: Layout) -> None:
    for row in _rows(auditorium).values():
        gaps = [right.x - left.x for left, right in pairwise(row) if left.run == right.run]
        wide = [right.x - left.x for left, right in pairwise(row) if left.run != right.run]
        assert not gaps or max(gaps) < min(wide, default=99.0)
        assert all(right.run - left.run in {0, 1} for left, right in pairwise(row))


def test_every_wheelchair_place_has_a_companion_at_its_side(auditorium: Layout) -> None:
    by_label = {seat.seat: seat for seat in auditorium.seats}
    places = {seat.seat for seat in auditorium.seats if seat.kind == "wheelchair"}
    companions = [seat for seat in auditorium.seats if seat.kind == "companion"]
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


def test_the_vip_auditorium_has_60_recliners_in_pairs() -> None:
    auditorium = layout("vip_pairs")
    pairs = Counter((seat.row, seat.run) for seat in auditorium.seats)
    assert len(auditorium.seats) == 60
    assert set(pairs.values()) == {2}
    assert {seat.kind for seat in auditorium.seats} == {"recliner", "wheelchair", "companion"}


def test_the_studio_lacks_its_right_back_corner_and_mirrored_its_left_one() -> None:
    rows = list(_rows(layout("studio_corner")).values())
    assert rows[-1][0].x == 0
    assert rows[-1][-1].x < max(seat.x for seat in rows[3])
    mirrored = list(_rows(layout("studio_corner", mirrored=True)).values())
    assert mirrored[-1][0].x > 0


def test_layouts_differ_and_ids_follow_from_the_seats() -> None:
    shapes = {
        name: frozenset((seat.x, seat.y) for seat in layout(name).seats) for name in FLOOR_PLANS
    }
    assert len(set(shapes.values())) == len(FLOOR_PLANS) >= 10
    assert layout("fan") == layout("fan")
    assert layout("fan").layout_id != layout("fan", mirrored=True).layout_id


def test_rows_after_z_have_two_letters() -> None:
    auditorium = layout_of(FloorPlan("\n".join(["ss"] * 28)))
    assert auditorium.seats[-1].seat == "AB2"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("ssX", "'X' is no seat"),
        ("sWs", "a wheelchair place and its companion seat go side by side"),
        ("W C", "row A: a wheelchair place"),
        ("WCW", "row A: a wheelchair place"),
        ("", "0 seats; an auditorium has 1 to 1000"),
        ("s" * 1001, "1001 seats"),
    ],
)
def test_an_invalid_floor_plan_is_refused(rows: str, why: str) -> None:
    with pytest.raises(InvalidFloorPlan, match=why):
        layout_of(FloorPlan(rows))
