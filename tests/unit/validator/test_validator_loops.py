"""A validator does not seem to run when one of its loops has ended."""

import asyncio
from pathlib import Path

import pytest

from cinesync.validator import home, provisioning
from cinesync.validator.driver import LoopEnded, ValidatorDriver
from tests.integration.chassis.toy.child import free_port


@pytest.mark.parametrize("error", [None, RuntimeError("the tick broke")])
async def test_the_end_of_a_loop_ends_the_validator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """Its supervisor starts it again."""

    async def end(_: ValidatorDriver) -> None:
        await asyncio.sleep(0)
        if error is not None:
            raise error

    provisioning.init(tmp_path, [f"127.0.0.1:{free_port()}" for _ in range(4)])
    replicator = ValidatorDriver(home.load(tmp_path / "validator-0"))
    monkeypatch.setattr(ValidatorDriver, "_tick", end)
    async with asyncio.timeout(30):
        with pytest.raises(LoopEnded if error is None else RuntimeError):
            await replicator.run()
    replicator.close()
