"""The health of a process: its loops, its disk, and what its services depend on.

There are two kinds of trouble. Most make the process `degraded`: it serves, and an operator should
look. Some mean that it would begin what it cannot finish, such as a payment that is never
confirmed: then its `Intake` is closed, and such requests get 503 until the trouble is over.
"""

import asyncio
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from prometheus_client import Gauge

from cinesync.chassis import background, telemetry
from cinesync.chassis.background import Loop
from cinesync.chassis.problems import Unavailable

log = telemetry.get_logger(__name__)

LOOK_SECONDS = 1.0
RETRY_SECONDS = 5
MEGABYTE = 1_000_000

# Why something that a service depends on does not answer; None when it does. Makes no call itself.
Check = Callable[[], str | None]

DISK_FREE = Gauge("cinesync_disk_free_bytes", "Free bytes where DISK_FOLDER is.")
TAKING = Gauge("cinesync_intake_open", "1 while this process begins what must be finished later.")


class NotTaking(Unavailable):
    """We cannot finish this at the moment, so we do not begin it; please try again shortly."""


class Intake:
    """Whether a service may begin what others must finish. A check reads one attribute."""

    def __init__(self) -> None:
        self.trouble: str | None = None

    def check(self) -> None:
        """Raises NotTaking."""
        if self.trouble is not None:
            raise NotTaking(retry_after_seconds=RETRY_SECONDS)


class Disk:
    """The free space where `folder` is; without a folder nothing is checked."""

    def __init__(self, folder: str, low_mb: float, min_mb: float) -> None:
        self._folder = Path(folder) if folder else None
        self._low_bytes = low_mb * MEGABYTE
        self._min_bytes = min_mb * MEGABYTE
        self._free_bytes: float | None = None
        self._error = ""

    def look(self) -> None:
        """Read the free space."""
        if self._folder is None:
            return
        try:
            self._free_bytes = shutil.disk_usage(self._folder).free
            self._error = ""
        except OSError as error:
            self._error = f"its free space cannot be read: {error.strerror}"
            return
        DISK_FREE.set(self._free_bytes)

    @property
    def is_full(self) -> bool:
        """Too little space to finish what was begun."""
        return self._free_bytes is not None and self._free_bytes < self._min_bytes

    def trouble(self) -> str | None:
        """What an operator should know; None when there is enough space."""
        if self._error:
            return self._error
        if self._free_bytes is None or self._free_bytes >= self._low_bytes:
            return None
        return f"only {self._free_bytes / MEGABYTE:.0f} MB are free"


class Health:
    """Checks once a second and stores the result, so that reading it costs nothing."""

    def __init__(
        self,
        disk: Disk,
        loops: Callable[[], Sequence[Loop]],
        checks: Mapping[str, Check],
        vital: Collection[str],
        intakes: Sequence[Intake],
    ) -> None:
        self._disk = disk
        self._loops = loops
        self._checks = checks
        self._vital = frozenset(vital)
        self._intakes = intakes
        self._logged: dict[str, str] = {}
        self.closed: dict[str, str] = {}  # why the intakes are closed
        self.degraded: dict[str, str] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.to_thread(self._disk.look)
            self.update()
            background.succeeded()
            await asyncio.sleep(LOOK_SECONDS)

    def update(self) -> None:
        """Find the troubles of now, open or close the intakes, and log changes."""
        troubles = {loop.name: loop.trouble() for loop in self._loops()}
        troubles |= {part: check() for part, check in self._checks.items()}
        troubles["disk"] = self._disk.trouble()
        found = {part: trouble for part, trouble in troubles.items() if trouble}
        stops = self._vital | ({"disk"} if self._disk.is_full else set())
        self.closed = {part: trouble for part, trouble in found.items() if part in stops}
        self.degraded = {part: trouble for part, trouble in found.items() if part not in stops}
        self._close_intakes()
        self._log_changes(found)

    def _close_intakes(self) -> None:
        reason = next((f"{part}: {trouble}" for part, trouble in self.closed.items()), None)
        for intake in self._intakes:
            intake.trouble = reason
        TAKING.set(reason is None)

    def _log_changes(self, found: dict[str, str]) -> None:
        """Logs troubles when they begin and end, not every second."""
        for part in found.keys() - self._logged.keys():
            log.error("health.trouble", part=part, trouble=found[part], stops=part in self.closed)
        for part in self._logged.keys() - found.keys():
            log.info("health.recovered", part=part)
        self._logged = found
