"""After a full run with coverage: rules and consensus at 100 %, everything else at 90 %."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import coverage
import pytest

FULL = ("/pbft/", "/contracts/", "/model.py")
REST_PERCENT_MIN = 90.0


def below_floor(files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each file, or for the rest together, that is covered too little."""
    found: list[str] = []
    covered = total = 0
    for name, file in sorted(files.items()):
        summary = file["summary"]
        if any(part in f"/{name}" for part in FULL):
            if summary["percent_covered"] < 100:
                missing = f"lines {file['missing_lines']}, branches {file['missing_branches']}"
                found.append(f"{name}: {summary['percent_covered']:.1f} % of 100 %: {missing}")
        else:
            covered += summary["covered_lines"] + summary["covered_branches"]
            total += summary["num_statements"] + summary["num_branches"]
    if total and covered / total * 100 < REST_PERCENT_MIN:
        found.append(f"the rest: {covered / total * 100:.1f} % of {REST_PERCENT_MIN:.0f} %")
    return found


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Only where all tests ran with --cov: a part of them covers only a part."""
    options = session.config.option
    is_whole = not (options.keyword or options.markexpr or options.file_or_dir)
    if hasattr(session.config, "workerinput") or not getattr(options, "cov_source", None):
        return
    if not is_whole or session.exitstatus != pytest.ExitCode.OK:
        return
    data = coverage.Coverage(data_file=str(session.config.rootpath / ".coverage"))
    data.load()
    report = Path(session.config.rootpath) / ".coverage.json"
    data.json_report(outfile=str(report))
    found = below_floor(json.loads(report.read_text())["files"])
    for line in found:
        session.config.get_terminal_writer().line(f"\ncoverage: {line}", red=True)
    if found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
