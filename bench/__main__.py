"""`make bench`: start a shop of its own, measure it, write results/ and the table in README.md."""

import asyncio
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import ledger, machine
from bench.purchases import Load, hold, purchase
from cinesync.chassis import clock
from cinesync.up import Address, Home, Stack, free_port

HERE = Path(__file__).parent
HOLDS = 3000
PURCHASES = 1500
TABLE = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)


def say(what: str) -> None:
    """Progress, on stderr."""
    sys.stderr.write(f"bench: {what}\n")


def start(folder: Path) -> tuple[Stack, float]:
    """A shop, and how many seconds it took to be ready."""
    began = time.perf_counter()
    address = Address("127.0.0.1", free_port())
    stack = Stack(Home(folder), address, {**os.environ, "LOG_LEVEL": "WARNING"})  # noqa: TID251
    stack.start(say)
    return stack, round(time.perf_counter() - began, 2)


async def measure(stack: Stack) -> dict[str, Any]:
    """Every figure, one after the other."""
    load = Load(stack)
    shows = await load.shows()
    say(f"{HOLDS} holds spread over {len(shows)} shows")
    holds = await load.run(await load.guests(HOLDS), shows, hold)
    say(f"{PURCHASES} complete purchases")
    purchases = await load.run(await load.guests(PURCHASES), shows, purchase)
    return {"holds": holds, "purchases": purchases}


def table(results: dict[str, Any]) -> str:
    """The results as people read them."""
    rows = ["| Figure | Value |", "|---|---|"]
    for name, value in results["starts_seconds"].items():
        rows.append(f"| {name} start, seconds | {value} |")
    for name in ("holds", "purchases"):
        one = results[name]
        rows.append(
            f"| {name}/s | {one['per_second']} (p50 {one['p50_ms']} ms, p99 {one['p99_ms']} ms,"
            f" {one['cpu_ms_each']} CPU-ms each, {one['refused']} refused) |"
        )
    alone = results["ledger"]
    rows += [
        f"| ledger entries/s, final, 4 durable validators | {alone['entries_per_second']} |",
        f"| ledger commit | p50 {alone['commit_p50_ms']} ms, p99 {alone['commit_p99_ms']} ms |",
        f"| ledger, primary killed: next entry final after | median {alone['failover_p50_s']} s,"
        f" max {alone['failover_max_s']} s |",
        f"| receipt | {alone['receipt_bytes']} bytes, verified in {alone['verify_ms']} ms |",
    ]
    facts = results["machine"]
    rows.append(f"| machine | {facts['cores']} x {facts['cpu']}, Python {facts['python']} |")
    return "\n".join(rows) + "\n"


def main() -> None:
    """First start, second start, load."""
    with tempfile.TemporaryDirectory(prefix="cinesync-bench-") as name:
        folder = Path(name)
        with Home(folder).owned():
            stack, first_seconds = start(folder)
            stack.stop()
            stack, second_seconds = start(folder)
            try:
                results = asyncio.run(measure(stack))
            finally:
                stack.stop()
        say("the ledger alone")
        results["ledger"] = asyncio.run(ledger.measure(folder / "alone"))
    results["starts_seconds"] = {"first": first_seconds, "second": second_seconds}
    results["machine"] = machine.describe()
    day = clock.now().date().isoformat()
    results_file = HERE / "results" / f"{day}.json"
    results_file.parent.mkdir(exist_ok=True)
    results_file.write_text(json.dumps(results, indent=2) + "\n")
    readme = HERE / "README.md"
    readme.write_text(TABLE.sub(rf"\g<1>{table(results)}\g<2>", readme.read_text()))
    sys.stdout.write(table(results))


if __name__ == "__main__":
    main()
