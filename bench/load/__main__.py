"""The generator's process: takes a plan on stdin, says it is ready, goes, and reports on stdout."""

import gc
import time

import uvloop

from bench.load import pipe
from bench.load.generator import Plan, Report, Run


async def work(plan: Plan) -> Report:
    """Connect, wait for the word, go."""
    run = Run(plan)
    await run.connect()
    gc.collect()
    gc.freeze()
    gc.disable()  # a pause of the generator's would be counted as the server's
    await pipe.wait_for_the_word()
    cpu_before = time.process_time()
    report = await run.go()
    report.cpu_seconds = time.process_time() - cpu_before
    return report


def main() -> None:
    """The whole process."""
    pipe.send_report(uvloop.run(work(pipe.plan())))


if __name__ == "__main__":
    main()
