"""Who may sit where: examples, and properties over plans of any shape."""

from collections.abc import Collection
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinesync.booking.allocation import choice, seating
from cinesync.booking.allocation.seating import SeatingPlan, arrange
from cinesync.booking.model import (
    ChooseSeats,
    GapLeft,
    NotTogether,
    SeatSelection,
    SeatTaken,
    TooManySeats,
    UnknownSeat,
)
from cinesync.contracts.movies import LayoutSeat
from tests.support.booking import accessible, row


def _choose(plan: SeatingPlan, *seats: str, taken: Collection[str] = ()) -> tuple[str, ...]:
    return choice.choose(plan, taken, SeatSelection(seats))


def _best(
    plan: SeatingPlan, count: int, taken: Collection[str] = (), zone: str | None = None
) -> tuple[str, ...]:
    return choice.choose(plan, taken, SeatSelection(best=count, zone=zone))


def _stretches(plan: SeatingPlan, taken: Collection[str]) -> list[tuple[str, ...]]:
    return [stretch for run in plan.runs for stretch in seating.stretches(run, taken)]


ROW_OF_SIX = arrange(row("A", 6))


def test_runs_end_at_aisles_rows_and_accessible_places() -> None:
    plan = arrange(
        [
            *row("A", 3),
            *row("A", 3, first=4, run=1),
            *row("B", 2, y=1),
            *row("B", 2, y=1, first=4),
            *accessible("W1"),
        ]
    )
    assert sorted(plan.runs) == [
        ("A1", "A2", "A3"),
        ("A4", "A5", "A6"),
        ("B1", "B2"),
        ("B4", "B5"),
    ]
    assert plan.companions == {"W1": ("W1a",)}


def test_seats_of_other_zones_are_found() -> None:
    plan = arrange([*row("A", 2), *row("B", 1, zone="premium")])
    assert plan.outside({"standard"}) == ["B1"]
    assert plan.outside({"standard", "premium"}) == []


def test_an_empty_hall_has_no_best_seat() -> None:
    with pytest.raises(NotTogether):
        _best(arrange([]), 1)


def test_the_best_seats_are_in_the_middle_towards_the_back() -> None:
    plan = arrange([seat for y in range(5) for seat in row("ABCDE"[y], 10, y=float(y))])
    assert _best(plan, 2) == ("C5", "C6")
    assert set(_best(plan, 2, {"C5", "C6"})) == {"D5", "D6"}


def test_a_curved_row_counts_as_it_stands() -> None:
    """The ends of the curved row are nearer to the screen, and so to its best spot."""
    flat = row("A", 4, y=0)
    curved = [
        LayoutSeat(
            seat=f"B{number}", row="B", number=number, zone="standard", kind="standard",
            x=float(number), y=6 - abs(number - 2.5) * 2,
        )
        for number in range(1, 5)
    ]  # fmt: skip
    plan = arrange([*flat, *curved])
    assert plan.cost["B1"] < plan.cost["A1"]
    assert plan.cost["B2"] == pytest.approx(plan.cost["B3"])


def test_best_is_never_across_an_aisle() -> None:
    plan = arrange([*row("A", 2), *row("A", 2, first=3, run=1)])
    with pytest.raises(NotTogether) as refusal:
        _best(plan, 3)
    [apart] = refusal.value.members["alternatives"]
    assert sorted(apart) in (["A1", "A2", "A3"], ["A1", "A2", "A4"], ["A1", "A3", "A4"])


def test_best_never_gives_away_accessible_places() -> None:
    plan = arrange([*row("A", 1), *accessible("W1")])
    assert _best(plan, 1) == ("A1",)
    with pytest.raises(NotTogether) as refusal:
        _best(plan, 2)
    assert refusal.value.members["alternatives"] == []


def test_best_in_a_zone_stays_in_it_but_minds_the_gaps_beyond() -> None:
    plan = arrange([*row("A", 3, zone="front"), *row("A", 3, first=4, zone="back")])
    assert _best(plan, 2, zone="front") == ("A1", "A2")
    assert _best(plan, 3, zone="back") == ("A4", "A5", "A6")
    with pytest.raises(NotTogether):
        _best(plan, 4, zone="back")
    with pytest.raises(UnknownSeat):
        _best(plan, 1, zone="balcony")


def test_best_leaves_a_single_seat_only_when_nothing_else_fits() -> None:
    plan = arrange([*row("A", 3, y=0), *row("B", 4, y=9)])
    assert _best(plan, 2)[0].startswith("B")
    assert len(_best(plan, 2, {"B1", "B2", "B3", "B4"})) == 2


def test_a_pair_is_placed_so_that_pairs_fit_beside_it() -> None:
    assert _best(arrange(row("A", 8)), 2) == ("A3", "A4")


@pytest.mark.parametrize(
    ("seats", "left_alone"),
    [
        (["A1", "A2"], []),
        (["A3", "A4"], []),
        (["A2"], ["A1"]),
        (["A2", "A3"], ["A1"]),
        (["A2", "A5"], ["A1", "A6"]),
        (["A1", "A3"], ["A2"]),
        (["A1", "A2", "A3", "A4", "A6"], []),
        (["A1", "A2", "A3", "A4", "A5", "A6"], []),
    ],
)
def test_no_single_seat_is_left_where_it_can_be_helped(
    seats: list[str], left_alone: list[str]
) -> None:
    assert seating.stranded(ROW_OF_SIX, (), set(seats)) == left_alone


def test_a_gap_is_named_and_a_way_out_is_offered() -> None:
    with pytest.raises(GapLeft) as refusal:
        _choose(ROW_OF_SIX, "A2", "A3")
    assert refusal.value.members["rule"] == "gap"
    assert refusal.value.members["seats"] == ["A1"]
    assert refusal.value.members["alternatives"][0] in (("A1", "A2"), ("A3", "A4"))


def test_the_gap_rule_yields_where_it_leaves_no_choice() -> None:
    """Of three seats, two cannot be taken without leaving one."""
    assert _choose(ROW_OF_SIX, "A2", "A3", taken={"A4", "A5", "A6"}) == ("A2", "A3")
    recliners = arrange([*row("A", 2), *row("A", 2, first=3, run=1)])
    assert _choose(recliners, "A1") == ("A1",)


def test_a_single_seat_that_was_single_before_is_nobodys_fault() -> None:
    assert _choose(ROW_OF_SIX, "A5", "A6", taken={"A2", "A4"}) == ("A5", "A6")
    assert _choose(ROW_OF_SIX, "A1", taken={"A2"}) == ("A1",)


def test_taken_seats_are_named_with_the_nearest_that_are_free() -> None:
    plan = arrange([seat for y in range(3) for seat in row("ABC"[y], 8, y=float(y))])
    with pytest.raises(SeatTaken) as refusal:
        _choose(plan, "B3", "B4", taken={"B4"})
    assert refusal.value.members["seats"] == ["B4"]
    offers = refusal.value.members["alternatives"]
    assert len(offers) == 3
    assert ("A3", "A4") in offers
    assert ("C3", "C4") in offers


def test_who_wanted_a_wheelchair_place_is_offered_another() -> None:
    plan = arrange([*row("A", 4), *accessible("W1"), *accessible("W2", x=5), *accessible("W3")])
    with pytest.raises(SeatTaken) as refusal:
        _choose(plan, "W1", "W1a", taken={"W1", "W3a"})
    assert refusal.value.members["alternatives"] == [("W2", "W2a")]


@pytest.mark.parametrize(
    ("seats", "best", "error"),
    [
        ((), 0, ChooseSeats),
        (("A1",), 1, ChooseSeats),
        (("A1", "A1"), 0, ChooseSeats),
        (("A1", "Z9"), 0, UnknownSeat),
        ((), 11, TooManySeats),
        (tuple(f"A{number}" for number in range(11)), 0, TooManySeats),
    ],
)
def test_a_selection_must_make_sense(
    seats: tuple[str, ...], best: int, error: type[Exception]
) -> None:
    with pytest.raises(error):
        choice.choose(ROW_OF_SIX, (), SeatSelection(seats, best))


@st.composite
def plans(draw: st.DrawFn) -> SeatingPlan:
    """Rows of one or two runs in one or two zones, with or without a wheelchair place."""
    seats: list[LayoutSeat] = []
    for y, name in enumerate("ABC"[: draw(st.integers(1, 3))]):
        left, right = draw(st.integers(1, 6)), draw(st.integers(0, 5))
        zone = draw(st.sampled_from(["front", "back"]))
        seats += row(name, left, y=float(y), zone=zone)
        seats += row(name, right, y=float(y), zone=zone, first=left + 1, run=1)
    if draw(st.booleans()):
        seats += accessible("W1")
    return arrange(seats)


@st.composite
def partly_sold_plans(draw: st.DrawFn) -> tuple[SeatingPlan, set[str]]:
    """A plan and its taken seats."""
    plan = draw(plans())
    return plan, draw(st.sets(st.sampled_from(sorted(plan.seats))))


@given(partly_sold_plans(), st.integers(1, 10))
def test_best_is_together_free_and_sold_whenever_it_can_be(
    partly_sold: tuple[SeatingPlan, set[str]], count: int
) -> None:
    plan, taken = partly_sold
    fits = any(len(stretch) >= count for stretch in _stretches(plan, taken))
    try:
        chosen = _best(plan, count, taken)
    except NotTogether as refusal:
        assert not fits
        for offer in refusal.members["alternatives"]:
            assert len(set(offer)) == count
            assert taken.isdisjoint(offer)
        return
    assert fits
    assert taken.isdisjoint(chosen)
    first = plan.seats[chosen[0]]
    places = [plan.seats[seat] for seat in chosen]
    assert all((place.row, place.run) == (first.row, first.run) for place in places)
    assert [place.number for place in places] == list(range(first.number, first.number + count))


@given(partly_sold_plans(), st.integers(1, 4))
def test_best_is_the_best_of_all_there_is(
    partly_sold: tuple[SeatingPlan, set[str]], count: int
) -> None:
    plan, taken = partly_sold
    every = [block for run in plan.runs for block in seating.blocks(run, taken, count)]

    def cost(block: seating.SeatBlock) -> float:
        distance = sum(plan.cost[seat] for seat in block.seats) / count
        return distance + seating.ODD_REST_COST * sum(rest % 2 for rest in block.rests)

    ranked = sorted(every, key=lambda block: (block.strands, cost(block), block.seats))
    best = seating.best_together(plan, taken, count, None)
    assert best == (ranked[0].seats if ranked else None)


@given(partly_sold_plans(), st.integers(1, 4))
def test_what_a_hall_remembers_is_what_it_would_find(
    partly_sold: tuple[SeatingPlan, set[str]], count: int
) -> None:
    plan, taken = partly_sold
    requests = [(count, None), (1, None), (count, "front"), (count, None), (count, "front")]
    cached = [seating.best_together(plan, taken, *each) for each in requests]
    computed = [
        seating.best_together(arrange(plan.seats.values()), taken, *each) for each in requests
    ]
    assert cached == computed


def test_a_plan_caches_a_bounded_number_of_placements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seating, "PLACEMENTS_CACHED_MAX", 3)
    plan = arrange(row("A", 9))
    for seat in plan.seats:
        seating.best_together(plan, {seat}, 2, None)
        assert len(plan._placements) <= 3


@given(partly_sold_plans(), st.data())
def test_alternatives_are_the_nearest_of_all_there_are(
    partly_sold: tuple[SeatingPlan, set[str]], data: st.DataObject
) -> None:
    plan, taken = partly_sold
    wanted = data.draw(st.sampled_from(plan.runs))[:4]
    every = [
        block.seats
        for run in plan.runs
        for block in seating.blocks(run, taken, len(wanted))
        if not block.strands
    ]
    assert seating.alternatives(plan, taken, wanted) == seating._nearest(plan, wanted, every)


@given(partly_sold_plans(), st.integers(1, 10))
def test_what_best_chooses_the_rules_allow(
    partly_sold: tuple[SeatingPlan, set[str]], count: int
) -> None:
    plan, taken = partly_sold
    try:
        chosen = _best(plan, count, taken)
    except NotTogether:
        return
    assert _choose(plan, *chosen, taken=taken) == chosen


@given(partly_sold_plans(), st.integers(1, 4))
def test_in_every_stretch_some_choice_is_allowed(
    partly_sold: tuple[SeatingPlan, set[str]], count: int
) -> None:
    """The gap rule never keeps a seat from being sold."""
    plan, taken = partly_sold
    for stretch in _stretches(plan, taken):
        if len(stretch) >= count:
            assert any(
                not seating.stranded(plan, taken, set(chosen))
                for chosen in combinations(stretch, count)
            )


@given(partly_sold_plans(), st.data())
def test_what_the_gap_rule_allows_leaves_no_avoidable_single_seat(
    partly_sold: tuple[SeatingPlan, set[str]], data: st.DataObject
) -> None:
    plan, taken = partly_sold
    free = [seat for stretch in _stretches(plan, taken) for seat in stretch]
    if not free:
        return
    chosen = data.draw(st.sets(st.sampled_from(free), min_size=1, max_size=10))
    if seating.stranded(plan, taken, chosen):
        return
    for stretch in _stretches(plan, taken):
        picked = chosen.intersection(stretch)
        after = list(_stretches(plan, {*taken, *chosen}))
        singles = [rest for rest in after if len(rest) == 1 and rest[0] in stretch]
        if picked and singles:
            assert len(stretch) == len(picked) + 1


@given(partly_sold_plans(), st.data())
def test_alternatives_are_free_and_allowed(
    partly_sold: tuple[SeatingPlan, set[str]], data: st.DataObject
) -> None:
    plan, taken = partly_sold
    ordinary = [seat for run in plan.runs for seat in run]
    wanted = data.draw(st.lists(st.sampled_from(ordinary), min_size=1, max_size=4, unique=True))
    offered: set[str] = set()
    for offer in seating.alternatives(plan, taken, wanted):
        assert _choose(plan, *offer, taken=taken) == offer
        assert len(offer) == len(wanted)
        assert offered.isdisjoint(offer)
        offered.update(offer)
