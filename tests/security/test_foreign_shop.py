"""A second shop that calls itself like the first one on their broker does not come up."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cinesync.supervisor.postgres import Postgres
from tests.conftest import MakeDatabase
from tests.integration.chassis.conftest import rabbitmq
from tests.integration.chassis.toy.child import WAIT_SECONDS_MAX, free_port
from tests.support.rabbitmq_server import RabbitMqServer

__all__ = ["rabbitmq"]

pytestmark = [pytest.mark.rabbitmq, pytest.mark.no_cover, pytest.mark.xdist_group("rabbitmq")]


def serve(
    database_url: str, broker: RabbitMqServer, log: Path, **own: str
) -> subprocess.Popen[bytes]:
    with log.open("wb") as stderr:
        return subprocess.Popen(
            [sys.executable, "-m", "cinesync.cli.main", "serve", "movies", f"--port={free_port()}"],
            env={
                **os.environ,  # noqa: TID251 a child inherits
                "MOVIES_DATABASE_URL": database_url,
                "RABBITMQ_URL": broker.url,
                **own,
            },
            stdout=subprocess.PIPE,
            stderr=stderr,
        )


async def test_another_shop_of_the_same_name_is_refused_in_one_line(
    make_database: MakeDatabase, postgres: Postgres, rabbitmq: RabbitMqServer, tmp_path: Path
) -> None:
    urls = [(await make_database("movies")).url for _ in "ab"]
    first = serve(urls[0], rabbitmq, tmp_path / "first.log", SHOP_ID="odeon")
    running = [first]
    try:
        assert first.stdout is not None
        assert first.stdout.readline(), (tmp_path / "first.log").read_text()
        foreign = serve(urls[1], rabbitmq, tmp_path / "foreign.log", SHOP_ID="odeon")
        running.append(foreign)
        assert foreign.wait(WAIT_SECONDS_MAX) == 2
        last = (tmp_path / "foreign.log").read_text().strip().splitlines()[-1]
        assert "cinema.events.odeon belongs to a shop with another database" in last
        assert "a SHOP_ID or a RABBITMQ_EXCHANGE of its own" in last
        nameless = serve(urls[1], rabbitmq, tmp_path / "nameless.log", SHOP_ID="")
        running.append(nameless)
        assert nameless.wait(WAIT_SECONDS_MAX) == 2
        assert "SHOP_ID is not set" in (tmp_path / "nameless.log").read_text()
        own = serve(urls[1], rabbitmq, tmp_path / "own.log", SHOP_ID="rex")
        running.append(own)
        assert own.stdout is not None
        assert own.stdout.readline(), (tmp_path / "own.log").read_text()
    finally:
        for process in running:
            process.kill()
            process.wait(WAIT_SECONDS_MAX)
            if process.stdout is not None:
                process.stdout.close()
