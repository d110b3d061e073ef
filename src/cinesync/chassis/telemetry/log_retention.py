"""Settings of a supervisor: how much of its logs stays, and where its metrics are."""

from dataclasses import dataclass
from typing import Annotated

from cinesync.chassis.settings import SettingsError


@dataclass(frozen=True, slots=True)
class LogRetention:
    """A log file is rotated when it is too large or too old."""

    log_bytes_max: Annotated[int, "a log file is rotated when it is larger"] = 20_000_000
    log_hours_max: Annotated[float, "and when its first line is older"] = 168.0
    log_files_max: Annotated[int, "rotated files kept of each log"] = 5

    def __post_init__(self) -> None:
        if self.log_bytes_max < 1 or self.log_hours_max <= 0 or self.log_files_max < 1:
            raise SettingsError("LOG_BYTES_MAX, LOG_HOURS_MAX and LOG_FILES_MAX must be positive")


@dataclass(frozen=True, slots=True)
class SupervisorMetrics:
    """The port of the supervisor's own metrics, which is in `run.json` too."""

    supervisor_metrics_port: Annotated[
        int, "on loopback, for /metrics of the supervisor itself; 0: any free one"
    ] = 0
