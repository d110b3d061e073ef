"""`cinesync serve` that kills itself with SIGKILL at a chosen transaction of a chosen command.

Run as a module in the shop's place. When the file in SABOTAGE_FILE holds "before COMMAND" or
"after COMMAND", the next transaction of that command ends the process right before, or right
after, its COMMIT; the file is removed first, so that the next process lives. The names of all
commands that ran are appended to SABOTAGE_FILE.seen.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cinesync.chassis.database import Database, Transaction, delete_old_markers
from cinesync.chassis.messaging import outbox
from cinesync.cli.main import run

ORDER = Path(os.environ["SABOTAGE_FILE"])  # noqa: TID251 this is a test's own setting

SEEN = ORDER.with_suffix(".seen")

# What writes with one statement, which is its own COMMIT; the others of one statement are reads.
WRITES_OF_ONE = (outbox.mark_sent, outbox.delete_sent, delete_old_markers)

Run = Callable[..., Awaitable[Any]]


def _name(command: Callable[..., Any]) -> str:
    return getattr(command, "__name__", type(command).__name__)


def _strike(moment: str, command: Callable[..., Any]) -> None:
    if ORDER.exists() and ORDER.read_text() == f"{moment} {_name(command)}":
        ORDER.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _note(command: Callable[..., Any]) -> None:
    with SEEN.open("a") as seen:
        seen.write(f"{_name(command)}\n")


def sabotaged(run_command: Run) -> Run:
    """One of `Database`'s ways to run a command, with both moments in it."""

    async def sabotaged_run(
        self: Database, command: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
    ) -> Any:
        async def command_then_strike(tx: Transaction, *inner: Any, **named: Any) -> Any:
            result = await command(tx, *inner, **named)
            _strike("before", command)
            return result

        _note(command)
        result = await run_command(self, command_then_strike, *args, **kwargs)
        _strike("after", command)
        return result

    return sabotaged_run


def sabotaged_one(run_one: Run) -> Run:
    """`Database.run_one` with both moments around what it writes."""

    async def sabotaged_run_one(
        self: Database, command: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
    ) -> Any:
        if command not in WRITES_OF_ONE:
            return await run_one(self, command, *args, **kwargs)
        _note(command)
        _strike("before", command)
        result = await run_one(self, command, *args, **kwargs)
        _strike("after", command)
        return result

    return sabotaged_run_one


if __name__ == "__main__":
    for way, sabotage in (
        ("run", sabotaged),
        ("run_repeatable", sabotaged),
        ("run_one", sabotaged_one),
    ):
        setattr(Database, way, sabotage(getattr(Database, way)))
    run()
