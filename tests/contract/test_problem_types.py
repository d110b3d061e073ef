"""Problem types are part of the HTTP contract: renaming a class must not change them."""

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import cinesync
from cinesync.chassis.problems import Problem

RECORDED = Path(__file__).parent / "recorded" / "problem_types.txt"


def _problems(kind: type[Problem] = Problem) -> Iterator[type[Problem]]:
    for one in kind.__subclasses__():
        yield one
        yield from _problems(one)


def test_every_recorded_problem_has_its_type_and_status() -> None:
    for module in pkgutil.walk_packages(cinesync.__path__, "cinesync."):
        if "migrations" not in module.name and ".alembic." not in module.name:
            importlib.import_module(module.name)
    types = {f"{kind.type_uri()} {kind.status}" for kind in _problems()}
    assert set(RECORDED.read_text().splitlines()) - types == set()
