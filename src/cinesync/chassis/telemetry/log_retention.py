"""What a supervisor needs to know: how much of its logs it keeps, and where it tells of itself."""

from dataclasses import dataclass
from typing import Annotated

from cinesync.chassis.settings import SettingsError


@dataclass(frozen=True, slots=True)
class LogRetention:
    """A log file is moved aside when it is too large or too old; so many of those are kept."""

    log_bytes_max: Annotated[int, "a log file is rotated when it is larger"] = 20_000_000
    log_hours_max: Annotated[float, "and when its first line is older"] = 168.0
    log_files_max: Annotated[int, "rotated files kept of each log"] = 5

    def __post_init__(self) -> None:
        if self.log_bytes_max < 1 or self.log_hours_max <= 0 or self.log_files_max < 1:
            raise SettingsError("LOG_BYTES_MAX, LOG_HOURS_MAX and LOG_FILES_MAX must be positive")


@dataclass(frozen=True, slots=True)
class SupervisorMetrics:
    """Where the supervisor's own metrics are asked; `run.json` says it too."""

    supervisor_metrics_port: Annotated[
        int, "on loopback, for /metrics of the supervisor itself; 0: any free one"
    ] = 0
