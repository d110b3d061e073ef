"""The toy service as a process: `python -m` runs it, with settings from the environment."""

import os
import sys

import uvloop

from cinesync.chassis import settings, telemetry
from cinesync.chassis.database import open_database
from cinesync.chassis.process import Process, ProcessSettings
from tests.integration.chassis.toy.app import build


async def main() -> None:
    """Serve until a signal; print a line when it is ready."""
    environ = os.environ  # noqa: TID251 the one reader of this process
    chosen = settings.load(ProcessSettings, environ)
    db = open_database(environ["DATABASE_URL"])
    service, _ = build(db, chosen.instance, kills_reader=environ.get("KILL_READER") == "yes")

    async def prepare() -> None:
        """Nothing to fill."""

    await Process([service], chosen).run(prepare, lambda: print("ready", flush=True))  # noqa: T201


if __name__ == "__main__":
    telemetry.configure_logging("INFO")
    uvloop.run(main())
    sys.exit(0)
