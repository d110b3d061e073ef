"""The generator's process: takes a plan on stdin, says it is ready, goes, and reports on stdout."""

import asyncio
import gc
import pickle
import sys
import time

import uvloop

from bench.load.generator import Plan, Report, Run
from bench.load.pipe import tell

READY = b"ready\n"


async def work(plan: Plan) -> Report:
    """Connect, wait for the word, go."""
    run = Run(plan)
    await run.connect()
    gc.collect()
    gc.freeze()
    gc.disable()  # a pause of the generator's would be counted as the server's
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    await asyncio.to_thread(sys.stdin.buffer.read, 1)
    cpu_before = time.process_time()
    report = await run.go()
    report.cpu_seconds = time.process_time() - cpu_before
    return report


def main() -> None:
    """The whole process."""
    plan: Plan = pickle.load(sys.stdin.buffer)
    tell(uvloop.run(work(plan)))


if __name__ == "__main__":
    main()
