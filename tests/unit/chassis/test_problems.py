"""Problems carry their title, type and members; clocks are the one way to time and chance."""

from cinesync.chassis.problems import Problem, TooMany


class SeatTaken(Problem):
    """Someone else has one of these seats.

    More is not for clients.
    """

    status = 409


class Nameless(Problem):
    __doc__ = None


def test_the_first_line_of_the_docstring_is_the_title() -> None:
    assert SeatTaken("F7 is gone.", seats=["F7"]).as_dict() == {
        "type": "/problems/seat-taken",
        "title": "Someone else has one of these seats.",
        "status": 409,
        "detail": "F7 is gone.",
        "seats": ["F7"],
    }


def test_a_problem_without_detail_says_its_title() -> None:
    problem = TooMany(retry_after_seconds=9)
    assert str(problem) == "Too many attempts; please wait."
    assert "detail" not in problem.as_dict()


def test_a_problem_without_docstring_says_its_name() -> None:
    assert Nameless.title() == "Nameless"
