"""`cinesync serve` that kills itself with SIGKILL at a chosen transaction of a chosen command.

Run as a module in the shop's place. When FAULT_FILE holds "before COMMAND" or "after COMMAND", the
next transaction of that command kills the process right before, or right after, its COMMIT. The
file is removed first, so the next process is not killed. FAULT_FILE.seen collects the names of all
commands that ran.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cinesync.chassis.database import Database, Transaction, delete_old_markers
from cinesync.chassis.messaging import outbox
from cinesync.cli.main import run

FAULT_FILE = Path(os.environ["FAULT_FILE"])  # noqa: TID251 this is a test's own setting

SEEN = FAULT_FILE.with_suffix(".seen")

# Single statements that write, each its own COMMIT; the other single statements are reads.
SINGLE_WRITES = (outbox.mark_sent, outbox.delete_sent, delete_old_markers)

RunCommand = Callable[..., Awaitable[Any]]


def _name(command: Callable[..., Any]) -> str:
    return getattr(command, "__name__", type(command).__name__)


def _die_if_planned(when: str, command: Callable[..., Any]) -> None:
    if FAULT_FILE.exists() and FAULT_FILE.read_text() == f"{when} {_name(command)}":
        FAULT_FILE.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


def _record(command: Callable[..., Any]) -> None:
    with SEEN.open("a") as seen:
        seen.write(f"{_name(command)}\n")


def with_faults(run_command: RunCommand) -> RunCommand:
    """`Database.run` or `run_repeatable` with a fault before and after the COMMIT."""

    async def run_with_faults(
        self: Database, command: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
    ) -> Any:
        async def command_and_fault(tx: Transaction, *inner: Any, **named: Any) -> Any:
            result = await command(tx, *inner, **named)
            _die_if_planned("before", command)
            return result

        _record(command)
        result = await run_command(self, command_and_fault, *args, **kwargs)
        _die_if_planned("after", command)
        return result

    return run_with_faults


def one_with_faults(run_one: RunCommand) -> RunCommand:
    """`Database.run_one` with a fault before and after a statement that writes."""

    async def run_one_with_faults(
        self: Database, command: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
    ) -> Any:
        if command not in SINGLE_WRITES:
            return await run_one(self, command, *args, **kwargs)
        _record(command)
        _die_if_planned("before", command)
        result = await run_one(self, command, *args, **kwargs)
        _die_if_planned("after", command)
        return result

    return run_one_with_faults


if __name__ == "__main__":
    for method, add_faults in (
        ("run", with_faults),
        ("run_repeatable", with_faults),
        ("run_one", one_with_faults),
    ):
        setattr(Database, method, add_faults(getattr(Database, method)))
    run()
