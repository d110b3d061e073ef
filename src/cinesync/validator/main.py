"""`cinesync validator --home DIR`: the process of one validator."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import uvloop

from cinesync.chassis import gc_tuning, telemetry
from cinesync.pbft.ports import Parameters
from cinesync.validator import home
from cinesync.validator.driver import PARAMETERS, ValidatorDriver

log = telemetry.get_logger(__name__)


def main(
    folder: Path,
    on_ready: Callable[[], None] = lambda: None,
    parameters: Parameters = PARAMETERS,
) -> None:
    """Run until SIGTERM or SIGINT. Raises NoHome, and whatever stops a validator."""
    gc_tuning.collect_seldom()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(folder, on_ready, parameters))


async def _run(
    folder: Path, on_ready: Callable[[], None], parameters: Parameters = PARAMETERS
) -> None:
    driver = ValidatorDriver(home.load(folder), parameters)
    running = asyncio.create_task(driver.run(on_ready))
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        log.info("ledger.validator_stopped", replica=driver.me)
    finally:
        driver.close()
