"""Whose CPU time is whose."""

import os

import pytest

from bench import machine
from bench.machine import Process, kind_of, kinds_of


def process(pid: int, parent: int, command: str) -> Process:
    return Process(pid, parent, command.split(), ticks=1, ended_ticks=0)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("python -m cinesync.cli.main serve all --demo", "shop"),
        ("python -m cinesync.cli.main serve booking --port=4003", "booking"),
        ("python -m cinesync.cli.main bank --port=1 --data=/x/bank.sqlite", "bank"),
        ("python -m cinesync.cli.main validator --home=/x/validator-0", "validators"),
        ("/opt/pginstall/bin/postgres -D /x/data", "postgres"),
        ("postgres: postgres cinesync_booking [local] idle", "postgres"),
        ("/bin/caddy run --config /x/Caddyfile", "gateway"),
        ("python -c from multiprocessing.spawn import spawn_main", "parent's"),
    ],
)
def test_a_command_line_tells_the_kind(command: str, kind: str) -> None:
    assert kind_of(command.split(), "parent's") == kind


def test_a_nameless_process_counts_for_its_parent_and_strangers_do_not_count() -> None:
    found = [
        process(1, 0, "init"),
        process(10, 1, "python -m bench"),
        process(11, 10, "python -m cinesync.cli.main serve all"),
        process(12, 11, "python -c spawn"),
        process(20, 1, "postgres -D /somebody/else"),
    ]
    kinds = {p.pid: kind for p, kind in kinds_of(found, own=10)}
    assert kinds == {10: "bench", 11: "shop", 12: "shop"}


def test_a_process_named_as_another_root_counts_with_its_descendants() -> None:
    found = [
        process(10, 1, "python -m bench"),
        process(20, 1, "beam.smp -root x"),
        process(21, 20, "inet_gethost 4"),
    ]
    kinds = {p.pid: kind for p, kind in kinds_of(found, own=10, extra_roots=[20])}
    assert kinds == {10: "bench", 20: "rabbitmq", 21: "rabbitmq"}


def test_the_time_of_all_processors_is_told_in_percent() -> None:
    before = {"busy": 100, "idle": 50, "disk": 0, "stolen": 7}
    after = {"busy": 160, "idle": 60, "disk": 0, "stolen": 37}
    assert machine.percent(before, after) == {"busy": 60, "idle": 10, "disk": 0, "stolen": 30}


def test_processors_that_worked_were_busy() -> None:
    before = machine.processor_ticks()
    assert machine.pace_ms() > 0
    spent = machine.percent(before, machine.processor_ticks())
    assert spent["busy"] > 0
    assert sum(spent.values()) == pytest.approx(100, abs=0.3)


def test_work_done_here_is_seen() -> None:
    before, begun = machine.cpu_seconds(), os.times().user
    while os.times().user < begun + 0.1:
        sum(range(10_000))
    assert machine.spent(before, machine.cpu_seconds())["bench"] > 0


def test_memory_is_counted_by_kind() -> None:
    assert machine.memory_mb()["bench"] > 1
