"""Parties that do not fit side by side, and seats to take instead of those that leave a gap."""

from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cinesync.booking.allocation import choice
from cinesync.booking.allocation.gaps import instead
from cinesync.booking.allocation.seating import (
    SeatingPlan,
    arrange,
    best_together,
    stranded,
    stretches,
)
from cinesync.booking.allocation.split import Groups, describe, most, split
from cinesync.booking.model import GapLeft, NotTogether, SeatSelection
from tests.support.booking import accessible, row
from tests.unit.booking.allocation.test_seating import partly_sold_plans

EIGHTS = arrange([seat for y, name in enumerate("ABCDEF") for seat in row(name, 8, y=float(y))])


def sizes(groups: Groups) -> list[int]:
    return [len(group) for group in groups]


def rows_of(plan: SeatingPlan, groups: Groups) -> list[str]:
    return [plan.seats[group[0]].row for group in groups]


def test_ten_in_rows_of_eight_sit_five_behind_five() -> None:
    groups = split(EIGHTS, (), 10, None)
    assert sizes(groups) == [5, 5]
    [front, back] = groups
    assert [seat[1:] for seat in front] == [seat[1:] for seat in back]
    rows = [EIGHTS.row_numbers[name] for name in rows_of(EIGHTS, groups)]
    assert rows[1] - rows[0] == 1


def test_an_odd_party_is_balanced_and_nobody_sits_alone() -> None:
    narrow = arrange([seat for y, name in enumerate("ABCD") for seat in row(name, 4, y=float(y))])
    assert sorted(sizes(split(narrow, (), 5, None))) == [2, 3]
    assert sorted(sizes(split(narrow, (), 7, None))) == [3, 4]
    assert sorted(sizes(split(narrow, (), 9, None))) == [3, 3, 3]


def test_somebody_sits_alone_only_when_there_is_no_other_way() -> None:
    pairs = arrange([seat for y, name in enumerate("ABC") for seat in row(name, 2, y=float(y))])
    assert sorted(sizes(split(pairs, (), 4, None))) == [2, 2]
    assert sorted(sizes(split(pairs, (), 3, None))) == [1, 2]


def test_three_behind_each_other_go_before_two_in_different_corners() -> None:
    plan = arrange(
        [
            *row("A", 4, y=0.0),
            *[seat for y, name in enumerate("BCDE", 1) for seat in row(name, 3, y=float(y))],
            *row("F", 4, y=5.0),
        ]
    )
    groups = split(plan, (), 8, None)
    rows = [plan.row_numbers[name] for name in rows_of(plan, groups)]
    assert len(groups) == 3
    assert all(after - before == 1 for before, after in pairwise(rows))


def test_a_split_stays_in_its_zone() -> None:
    plan = arrange([*row("A", 3, zone="front"), *row("B", 3, y=1.0), *row("C", 3, y=2.0)])
    assert set(rows_of(plan, split(plan, (), 6, "standard"))) == {"B", "C"}
    assert split(plan, (), 4, "front") == ()


def test_a_refusal_says_how_the_party_is_split_and_the_offer_can_be_taken() -> None:
    with pytest.raises(NotTogether) as refusal:
        choice.choose(EIGHTS, (), SeatSelection(best=10))
    [groups], [offer] = refusal.value.members["groups"], refusal.value.members["alternatives"]
    assert offer == tuple(seat for group in groups for seat in group)
    front, back = rows_of(EIGHTS, groups)
    assert f"5 in row {front} and 5 in row {back}, behind each other" in refusal.value.detail
    assert choice.choose(EIGHTS, (), SeatSelection(offer)) == offer


def test_when_there_are_too_few_seats_those_that_are_left_are_offered() -> None:
    taken = set(EIGHTS.seats) - {"C3", "C4", "D7"}
    with pytest.raises(NotTogether) as refusal:
        choice.choose(EIGHTS, taken, SeatSelection(best=5))
    assert refusal.value.members["alternatives"] == []
    assert refusal.value.members["fewer"] == (("C3", "C4"), ("D7",))
    assert "Only 3 can still sit here" in refusal.value.detail
    with pytest.raises(NotTogether, match="Nothing is free") as sold_out:
        choice.choose(EIGHTS, set(EIGHTS.seats), SeatSelection(best=2))
    assert "fewer" not in sold_out.value.members


def test_groups_are_told_by_their_rows() -> None:
    assert describe(EIGHTS, (("A1", "A2"),)) == "2 in row A"
    assert describe(EIGHTS, (("A1",), ("C1", "C2"))) == "1 in row A and 2 in row C"


@given(partly_sold_plans(), st.integers(1, 10))
def test_a_split_is_free_whole_and_can_be_taken(
    partly_sold: tuple[SeatingPlan, set[str]], count: int
) -> None:
    plan, taken = partly_sold
    if best_together(plan, taken, count, None):
        return
    groups = split(plan, taken, count, None)
    flat = tuple(seat for group in groups for seat in group)
    if not groups:
        assert _free(plan, taken) < count
        return
    assert len(set(flat)) == len(flat) == count
    assert choice.choose(plan, taken, SeatSelection(flat)) == flat
    every = [stretch for run in plan.runs for stretch in stretches(run, taken)]
    assert all(any(set(group) <= set(stretch) for stretch in every) for group in groups)


@given(partly_sold_plans(), st.integers(2, 10))
def test_nobody_sits_alone_if_that_can_be_helped(
    partly_sold: tuple[SeatingPlan, set[str]], count: int
) -> None:
    plan, taken = partly_sold
    groups = split(plan, taken, count, None)
    if 1 not in sizes(groups) or best_together(plan, taken, count, None):
        return
    lengths = [len(s) for run in plan.runs for s in stretches(run, taken) if len(s) > 1]
    assert not _can_be_seated_in_company(lengths, count)


@given(partly_sold_plans(), st.integers(2, 10))
def test_as_many_are_offered_seats_as_there_are(
    partly_sold: tuple[SeatingPlan, set[str]], count: int
) -> None:
    plan, taken = partly_sold
    free = _free(plan, taken)
    groups = most(plan, taken, count, None)
    assert sum(sizes(groups)) == min(free, count - 1)
    flat = tuple(seat for group in groups for seat in group)
    if flat:
        assert choice.choose(plan, taken, SeatSelection(flat)) == flat


@given(partly_sold_plans(), st.data())
def test_seats_instead_are_as_many_and_leave_no_gap(
    partly_sold: tuple[SeatingPlan, set[str]], data: st.DataObject
) -> None:
    plan, taken = partly_sold
    free = sorted(seat for run in plan.runs for seat in run if seat not in taken)
    if not free:
        return
    wanted = tuple(data.draw(st.lists(st.sampled_from(free), min_size=1, max_size=6, unique=True)))
    if not stranded(plan, taken, set(wanted)):
        return
    others = instead(plan, taken, wanted)
    assert others
    assert len({frozenset(seats) for seats in others}) == len(others) <= 3
    for seats in others:
        assert len(set(seats)) == len(wanted)
        assert choice.choose(plan, taken, SeatSelection(seats)) == seats


def test_the_gap_rule_names_the_seats_to_take_instead() -> None:
    plan = arrange(row("A", 8))
    with pytest.raises(GapLeft) as refusal:
        choice.choose(plan, (), SeatSelection(("A2", "A3")))
    assert refusal.value.members["alternatives"][:2] == [("A1", "A2"), ("A3", "A4")]
    assert refusal.value.detail.startswith(
        "A1 would be left on its own. Take A1 and A2, or A3 and A4"
    )


def test_only_the_seats_that_leave_a_gap_are_moved() -> None:
    with pytest.raises(GapLeft) as refusal:
        choice.choose(EIGHTS, (), SeatSelection(("A2", "A3", "C4", "C5")))
    first = refusal.value.members["alternatives"][0]
    assert set(first) == {"A1", "A2", "C4", "C5"}


def test_accessible_places_are_not_given_to_a_split_party() -> None:
    plan = arrange([*row("A", 2), *row("B", 2, y=1.0), *accessible("W1")])
    assert split(plan, (), 5, None) == ()
    assert most(plan, (), 5, None) == (("A1", "A2"), ("B1", "B2"))


def _free(plan: SeatingPlan, taken: set[str]) -> int:
    return sum(seat not in taken for run in plan.runs for seat in run)


def _can_be_seated_in_company(lengths: list[int], count: int) -> bool:
    """In stretches of these lengths, each with nobody or at least two."""
    return any(
        2 * len(chosen) <= count <= sum(chosen)
        for size in range(1, len(lengths) + 1)
        for chosen in combinations(lengths, size)
    )
