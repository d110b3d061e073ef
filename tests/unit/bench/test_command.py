"""`python -m bench`: what it measures, and what it says when something fails."""

import pytest
from click.testing import CliRunner

from bench import __main__ as command
from bench import flame, machine, suite
from bench.figures import purchases, reads
from bench.suite import Size


def test_a_later_run_leaves_out_what_takes_longest_unless_it_was_asked_for() -> None:
    assert command.chosen(()) == [*suite.FIGURES, *suite.ALONE]
    assert "growth" not in command.chosen((), first=False)
    assert command.chosen(("growth", "holds"), first=False) == ["holds", "growth"]


def test_a_quick_look_does_without_what_takes_long_unless_it_was_asked_for() -> None:
    assert not {"growth", "rabbitmq", "split"} & set(command.chosen((), quick=True))
    assert command.chosen(("split",), quick=True) == ["split"]


def test_a_failing_figure_does_not_take_the_others_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PACE_STEPS", 10_000)

    def fail() -> dict[str, int]:
        raise RuntimeError("no shop")

    assert command.attempt("holds", fail) == {"failed": "RuntimeError('no shop')"}
    figures = command.attempt("holds", lambda: {"done": 1})
    assert figures["done"] == 1
    assert figures["pace_ms"] > 0


def test_sizes_override_what_a_load_has_and_nothing_else() -> None:
    size = Size(quick=True, rate=7.0, connections=3)
    load = size.of(purchases.QUICK, purchases.FULL)
    assert (load.rate, load.connections, load.seconds) == (7.0, 3, purchases.QUICK.seconds)
    assert size.of(reads.QUICK, reads.FULL) == reads.QUICK
    assert Size().of(reads.QUICK, reads.FULL) == reads.FULL


def test_without_py_spy_a_flame_graph_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    output = CliRunner().invoke(flame.main, ["purchases", "before"])
    assert output.exit_code == 1
    assert "pip install py-spy" in output.output
