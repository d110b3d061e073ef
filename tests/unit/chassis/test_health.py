"""What a process knows of itself decides whether it takes on what it must finish."""

import asyncio
import errno
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from cinesync.chassis.background import Loop
from cinesync.chassis.health import Disk, Health, Intake, NotTaking

FOREVER = asyncio.Event().wait


def a_loop(name: str, silent_seconds: float = 0.0) -> Loop:
    loop = Loop(name, FOREVER, silent_seconds_max=60.0)  # type: ignore[arg-type]
    loop.succeeded_at -= silent_seconds
    return loop


def health(
    *loops: Loop,
    intake: Intake | None = None,
    disk: Disk | None = None,
    checks: Mapping[str, Callable[[], str | None]] | None = None,
) -> Health:
    return Health(
        disk or Disk("", 0, 0),
        lambda: loops,
        checks or {},
        vital=["payment.relay"],
        intakes=[intake or Intake()],
    )


def test_when_all_is_well_everything_is_taken_on() -> None:
    intake = Intake()
    one = health(a_loop("payment.relay"), intake=intake, checks={"bank": lambda: None})
    one.update()
    assert (one.closed, one.degraded) == ({}, {})
    intake.check()


def test_a_loop_without_success_degrades_and_a_vital_one_closes_the_intake() -> None:
    intake = Intake()
    vital, other = a_loop("payment.relay"), a_loop("auth.upkeep", 61)
    one = health(vital, other, intake=intake)
    one.update()
    assert list(one.degraded) == ["auth.upkeep"]
    intake.check()
    vital.succeeded_at -= 61
    one.update()
    assert list(one.closed) == ["payment.relay"]
    with pytest.raises(NotTaking) as refused:
        intake.check()
    assert refused.value.status == 503
    assert refused.value.members == {"retry_after_seconds": 5}
    vital.note_success()
    one.update()
    intake.check()


def test_what_a_service_depends_on_is_told() -> None:
    one = health(checks={"bank": lambda: "does not answer", "validators": lambda: None})
    one.update()
    assert (one.closed, one.degraded) == ({}, {"bank": "does not answer"})


@pytest.mark.parametrize(
    ("free_mb", "closed", "degraded"),
    [(1000, {}, {}), (400, {}, {"disk": "only 400 MB are free"}), (99, {"disk": ""}, {})],
)
async def test_a_disk_without_room_is_told_and_a_full_one_closes_the_intake(
    free_mb: int,
    closed: Mapping[str, str],
    degraded: Mapping[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free_mb * 1_000_000))
    disk = Disk(str(tmp_path), low_mb=500, min_mb=100)
    one = health(disk=disk)
    running = asyncio.create_task(one.run())
    async with asyncio.timeout(30):
        while disk._free_bytes is None:  # noqa: ASYNC110 a thread looks
            await asyncio.sleep(0.01)
    running.cancel()
    one.update()
    assert one.closed.keys() == closed.keys()
    assert one.degraded == degraded


def test_a_disk_whose_free_space_cannot_be_read_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shutil, "disk_usage", refuse)
    disk = Disk("/anywhere", 500, 100)
    disk.look()
    assert disk.trouble() == "its free space cannot be read: Input/output error"
    assert not disk.is_full


def test_a_disk_that_nobody_named_is_not_looked_at() -> None:
    disk = Disk("", 500, 100)
    disk.look()
    assert disk.trouble() is None
