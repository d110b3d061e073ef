"""API problems in a moviegoer's words."""

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

import cinesync
from cinesync.chassis.problems import Problem
from cinesync.web.api_client import ApiProblem
from cinesync.web.wording import SENTENCES
from tests.support.fake_apis.state import FakeApis, Refused

JARGON = re.compile(
    r"Idempotency|JSON|\bbody\b|\bheader|\btoken|\bmember of (?!staff)|UUID|\bid\b|`|database"
    r"|broker|\d{4}-\d\d-\d\d|T\d\d:\d\d|\bnull\b|HTTP"
)


def _problems() -> list[type[Problem]]:
    for module in pkgutil.walk_packages(cinesync.__path__, "cinesync."):
        if "migrations" not in module.name and ".alembic." not in module.name:
            importlib.import_module(module.name)
    return sorted(set(_subclasses(Problem)), key=lambda kind: kind.type_uri())


def _subclasses(kind: type[Problem]) -> Iterator[type[Problem]]:
    for one in kind.__subclasses__():
        yield one
        yield from _subclasses(one)


def test_every_problem_of_the_apis_is_a_sentence_for_people() -> None:
    wrong = {}
    for kind in _problems():
        sentence = ApiProblem(kind.status, kind.title(), type=kind.type_uri()).sentence
        if JARGON.search(sentence):
            wrong[kind.type_uri()] = sentence
    assert wrong == {}


def _details() -> Iterator[tuple[str, str, str]]:
    """Where a problem is raised, its kind, and its detail; {} stands for values in it."""
    kinds = {kind.__name__: kind.type_uri().rpartition("/")[2] for kind in _problems()}
    for path in Path(cinesync.__file__).parent.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.args:
                kind = kinds.get(call.func.id)
                text = _text(call.args[0])
                if kind and text:
                    yield f"{path.name}:{call.lineno}", kind, text


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "2026-11-21" if "isoformat" in ast.unparse(node.value) else "{}"
    return ""


def test_every_detail_that_a_page_may_show_is_for_people() -> None:
    wrong = {
        where: text
        for where, kind, text in _details()
        if kind not in SENTENCES and JARGON.search(text)
    }
    assert wrong == {}


def test_every_reworded_problem_exists() -> None:
    kinds = {kind.type_uri().rpartition("/")[2] for kind in _problems()}
    assert SENTENCES.keys() <= kinds


def test_what_is_wrong_with_a_field_stands_beside_it_and_the_others_stay(
    visitor: FlaskClient, apis: FakeApis
) -> None:
    apis.faults["/api/auth/register"] = Refused(
        422,
        "Some fields are not as they should be.",
        type="/problems/invalid-fields",
        errors=[{"key": "phone", "message": "digits only"}],
    )
    who = {"name": "Ada L.", "email": "ada@example.org", "phone": "x"}
    page = visitor.post("/register", data=who | {"password": "four green hats"})
    assert page.status_code == 422
    assert "Digits only" in page.text
    for typed in ("Ada L.", "ada@example.org", 'value="x"'):
        assert typed in page.text
    assert "four green hats" not in page.text


@pytest.mark.parametrize("field", ["name", "phone", "other"])
def test_an_account_that_cannot_be_saved_keeps_what_was_typed(
    customer: FlaskClient, apis: FakeApis, field: str
) -> None:
    apis.faults["PUT /api/auth/me"] = Refused(
        422,
        "Some fields are not as they should be.",
        type="/problems/invalid-fields",
        errors=[{"key": field, "message": "not like this"}],
    )
    page = customer.post("/account", data={"name": "A new name", "phone": "+44 1"})
    assert page.status_code == 422
    assert "A new name" in page.text
    assert "+44 1" in page.text
    assert ("Not like this" in page.text) == (field != "other")
