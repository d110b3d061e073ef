"""`cinesync audit`: prints every check with its outcome, for people or as JSON."""

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cinesync.cli.context import data_option, err, readable_books, say, shop_settings

if TYPE_CHECKING:
    from cinesync.audit.results import AuditReport, CheckResult
    from cinesync.audit.runner import OnProgress


@click.command("audit")
@click.option(
    "--settled", is_flag=True, help="What is still in transit after a minute is a violation."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@data_option
def audit_command(data: Path, *, settled: bool, as_json: bool) -> None:
    """Audit the shop: no seat sold twice, money conserved, nothing stuck, all in the ledger.

    Recomputes everything from the databases, the providers' statements and the validators' disks;
    the shop may run or not. A check passes, fails or is not made. Exit code 0: all pass. 1: a
    promise is broken. 3: none is broken, but a check was not made. 2: the data cannot be read.
    """
    from cinesync import operations  # noqa: PLC0415
    from cinesync.audit.runner import audit  # noqa: PLC0415

    with shop_settings(data) as settings, readable_books(), _progress_line() as on_progress:
        look = partial(audit, settled=settled, say=say, on_progress=on_progress)
        report = asyncio.run(operations.with_audit_sources(settings, look))
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        _print(report)
    sys.exit(report.exit_code)


@contextmanager
def _progress_line() -> Iterator["OnProgress"]:
    """Show progress on stderr: the check, its rows and the time."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("reading the books", total=None)

        def on_progress(name: str, count: int) -> None:
            progress.update(task, description=f"checking {name}: {count:,} rows")

        yield on_progress


def _print(report: "AuditReport") -> None:
    from cinesync.audit.results import EXIT_FAILED, EXIT_PASSED  # noqa: PLC0415

    for result in report.results:
        for line in _lines(result):
            click.echo(line)
    if report.exit_code == EXIT_PASSED:
        click.echo("every promise holds")
    elif report.exit_code != EXIT_FAILED:
        click.echo("no promise is broken as far as was checked, but not every check was made")


def _lines(result: "CheckResult") -> Iterator[str]:
    from cinesync.audit.results import Failed, NotMade, Passed  # noqa: PLC0415

    name = f"{result.promise} {result.name}"
    match result.outcome:
        case Passed(seen, on_its_way):
            yield f"{name}: passed: {seen}" + (f"; {on_its_way}" if on_its_way else "")
        case Failed(seen, findings):
            yield f"{name}: FAILED: {seen}"
            yield from (f"{result.promise} BROKEN: {finding}" for finding in findings)
        case NotMade(reason):
            yield f"{name}: NOT MADE: {reason}"
