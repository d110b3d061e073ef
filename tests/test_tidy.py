"""The style as a test: sizes, stray modules, events without a consumer, forbidden words."""

import ast
import importlib
import re
import subprocess
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
ROOMS = {"__init__", "model", "tables", "store", "service", "routes", "app"}


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
        assert path.stem not in STRAY, f"{path} has no place in the house"
        if "versions" not in path.parts:
            assert ast.get_docstring(ast.parse(path.read_text())), f"{path} says no purpose"


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_the_same_rooms(service: str) -> None:
    assert {path.stem for path in (SOURCE / service).glob("*.py")} >= ROOMS


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
