"""The floor itself: what it lets pass and what it names."""

from typing import Any

from tests.support.coverage_floor import below_floor


def _file(covered: int, total: int) -> dict[str, Any]:
    return {
        "summary": {
            "percent_covered": covered / total * 100,
            "covered_lines": covered,
            "num_statements": total,
            "covered_branches": 0,
            "num_branches": 0,
        },
        "missing_lines": [],
        "missing_branches": [],
    }


def test_rules_must_be_covered_whole_and_the_rest_by_nine_tenths() -> None:
    good = {
        "src/cinesync/booking/model.py": _file(10, 10),
        "src/cinesync/cli/main.py": _file(9, 10),
    }
    assert below_floor(good) == []
    assert len(below_floor({"src/cinesync/booking/model.py": _file(9, 10)})) == 1
    assert len(below_floor({"src/cinesync/pbft/core.py": _file(9, 10)})) == 1
    assert below_floor({"src/cinesync/cli/main.py": _file(8, 10)}) == ["the rest: 80.0 % of 90 %"]
