"""The style as a test: sizes, stray modules, events without a consumer, forbidden words."""

import ast
import importlib
import io
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from cinesync.chassis.messaging.event import Event
from cinesync.contracts import CONSUMERS

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "cinesync"
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
STRAY = {"utils", "util", "common", "helpers", "misc", "shared", "base"}
SERVICES = ("auth", "movies", "booking", "payment", "ledger")
COMMON_MODULES = {"__init__", "model", "tables", "store", "service", "routes", "app"}


def _tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def _python(folder: Path = SOURCE) -> Iterator[Path]:
    return folder.rglob("*.py")


@pytest.mark.parametrize("folder", ["src", "tests", "bench"])
def test_files_fit_on_a_few_screens(folder: str) -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in _python(ROOT / folder)}
    assert not {path.name: size for path, size in sizes.items() if size > FILE_LINES_MAX}


def test_functions_fit_on_one_screen() -> None:
    too_long = {
        f"{path.name}:{node.name}": size
        for path in _python()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (size := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    }
    assert not too_long


def test_every_module_has_a_purpose_line_and_a_place() -> None:
    for path in _python():
        assert path.stem not in STRAY, f"{path} has no place in the layout"
        if "versions" not in path.parts:
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path} says no purpose"


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_modules(service: str) -> None:
    assert {path.stem for path in (SOURCE / service).glob("*.py")} >= COMMON_MODULES


# One concept that several services and the pages see, each in the shape that it needs.
SHARED_NOUNS = {"Booking", "Hold", "Movie", "Payment", "Seat", "Show", "Theater", "Ticket"}
METAPHORS = re.compile(
    r"(?<![a-z])(desk|cashier|teller|till|sweep|upkeep|door|house|mood|pulse|vouch\w*|founding"
    r"|rooms?|stranger|saboteur|liars?|wish)(?![a-z])",
    re.IGNORECASE,
)


# Environment variables that operators have set already.
SETTINGS = {"upkeep_seconds"}


def _defined_names() -> Iterator[tuple[str, Path]]:
    """Classes and aliases of types at the top of a module."""
    for path in _python():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                yield node.name, path
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name[:1].isupper() and not name.isupper():
                    yield name, path


def test_a_name_has_one_meaning() -> None:
    places: dict[str, list[str]] = {}
    for name, path in _defined_names():
        if name not in SHARED_NOUNS | {"Settings"}:
            places.setdefault(name, []).append(path.relative_to(SOURCE).as_posix())
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_names_are_no_metaphors() -> None:
    """`docs/glossary.md` has the words that mean something here."""
    found = {
        f"{path.relative_to(SOURCE)}: {token.string}"
        for path in _python()
        if "migrations" not in path.parts
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type == tokenize.NAME
        and token.string not in SETTINGS
        and METAPHORS.search(_words(token.string))
    }
    assert found == set()


def _words(name: str) -> str:
    """`TheDesk` and `the_desk` as `The Desk` and `the desk`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ")


def _event_types() -> set[type[Event]]:
    """Without the twins that `slots=True` leaves behind until they are collected."""
    return {
        event
        for event in Event.__subclasses__()
        if event.__module__.startswith("cinesync.") and "__slots__" in vars(event)
    }


def test_every_event_is_on_the_map_and_past_tense() -> None:
    assert set(CONSUMERS) == _event_types()
    for event in _event_types():
        words = re.findall("[A-Z][a-z]+", event.__name__)
        assert event.name == ".".join(word.lower() for word in words)


def test_the_map_is_what_the_services_really_handle() -> None:
    handled = {
        (service, event)
        for service in SERVICES
        for event in getattr(importlib.import_module(f"cinesync.{service}.app"), "HANDLERS", {})
    }
    assert handled == {(service, event) for event, names in CONSUMERS.items() for service in names}


def test_nothing_names_a_registry_or_a_place_of_one_machine() -> None:
    hosts = "|".join(("py" + r"pi\.org", "pythonhosted" + r"\.org", "npm" + "js", "/wo" + "rk/"))
    for path in _tracked():
        if path.suffix not in {".png", ".ico", ".woff2"}:
            found = re.findall(hosts, path.read_text(errors="replace"))
            assert found == [], path


def test_the_lock_file_pins_everything_with_hashes() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    for block in re.split(r"\n(?=\S)", lock.strip()):
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==\S+ \\\n\s+--hash=sha256:", block), block[:80]
