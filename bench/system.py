"""The system under test: a whole shop in a folder of its own, its stock and its people."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4  # noqa: TID251 a client makes its own keys

import asyncpg

from bench.load import generator
from bench.load.flows import Ask, Endpoint
from bench.load.generator import Run
from bench.load.wire import request
from cinesync.supervisor.data_folder import DataFolder
from cinesync.supervisor.embedded import EmbeddedShop
from cinesync.supervisor.ports import ListenAddress, free_port
from cinesync.supervisor.split import SplitOptions, SplitShop

LISTENERS_MAX = 6_000
GUEST_CONNECTIONS = 16
SHOW_DAYS_AHEAD = 1
# All buyers come from one address here, which in a shop is a sign of no customer.
ONE_ADDRESS_LIMITS = (
    "HELD_SEATS_ADDRESS_MAX",
    "HELD_SEATS_ADDRESS_SHOW_MAX",
    "LIVE_LISTENERS_PER_ADDRESS_MAX",
    "REQUESTS_PER_ADDRESS_MAX",
)
ONE_ADDRESS = dict.fromkeys(ONE_ADDRESS_LIMITS, "10000000")

Say = Callable[[str], None]


class System:
    """A running shop, wherever its processes are. `split` puts each service in its own, behind
    Caddy."""

    def __init__(
        self, folder: Path, say: Say, environ: Mapping[str, str], *, split: bool = False
    ) -> None:
        self._folder = folder
        self._say = say
        self._environ = environ
        self._split = split
        self.start_seconds = 0.0
        self._address = ListenAddress("127.0.0.1", free_port())
        self._stack = self._start()

    def restart(self) -> None:
        """Stop and start again on the same data; `start_seconds` are then of this start."""
        self.stop()
        self._stack = self._start()

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Nothing but PostgreSQL runs, to write much into it; then all of it starts again."""
        self.stop()
        postgres = self._stack.postgres
        postgres.start()
        try:
            yield
        finally:
            postgres.stop()
            self._stack = self._start()

    def _start(self) -> EmbeddedShop | SplitShop:
        began = time.perf_counter()
        environ = {**os.environ, "LOG_LEVEL": "WARNING"}  # noqa: TID251
        environ |= {"LIVE_LISTENERS_MAX": str(LISTENERS_MAX), **ONE_ADDRESS, **self._environ}
        home = DataFolder(self._folder)
        if self._split:
            stack: EmbeddedShop | SplitShop = SplitShop(
                home, self._address, environ, SplitOptions({}, plain=True)
            )
        else:
            stack = EmbeddedShop(home, self._address, environ)
        try:
            stack.start(self._say)
        except BaseException:
            stack.stop()
            raise
        self.start_seconds = round(time.perf_counter() - began, 2)
        return stack

    @property
    def endpoint(self) -> Endpoint:
        """Where it sells."""
        return Endpoint(self._address.host, self._address.port)

    @property
    def home(self) -> DataFolder:
        """Its folder."""
        return DataFolder(self._folder)

    @property
    def environ(self) -> Mapping[str, str]:
        """What its processes are told."""
        environ: Mapping[str, str] = self._stack.environ
        return environ

    def database(self, service: str) -> str:
        """The URL of a service's database."""
        return self.server(f"cinesync_{service}")

    def server(self, database: str) -> str:
        """The URL of any database of the same server."""
        return str(self._stack.postgres.url(database))

    def stop(self) -> None:
        """All of it."""
        self._stack.stop()

    async def query(self, service: str, statement: str, *values: Any) -> list[Any]:
        """Rows, from a service's database."""
        connection = await asyncpg.connect(self.database(service))
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def shows(self, *, seats_min: int = 0, limit: int = 100_000) -> list[str]:
        """Ids of shows that can be sold throughout, in an order that has nothing to do with keys;
        with room for at least `seats_min` more.
        """
        rows = await self.query(
            "booking",
            "SELECT s.show_id FROM shows s"
            " JOIN (SELECT layout_id, count(*) AS seat_count FROM seats GROUP BY layout_id) l"
            " USING (layout_id) LEFT JOIN (SELECT show_id, count(*) AS taken FROM booking_seats"
            " GROUP BY show_id) t USING (show_id)"
            " WHERE NOT s.cancelled AND s.starts_at > now() + $1::bigint * interval '1 day'"
            " AND l.seat_count - coalesce(t.taken, 0) >= $2::bigint"
            " ORDER BY md5(s.show_id::text) LIMIT $3",
            SHOW_DAYS_AHEAD,
            seats_min,
            limit,
        )
        return [str(row["show_id"]) for row in rows]

    async def guests(self, count: int) -> list[str]:
        """Tokens, each of a new guest."""
        entries = [_guest_entry(self.endpoint.host) for _ in range(count)]
        plan = generator.Plan(
            self.endpoint.host, self.endpoint.port, entries, GUEST_CONNECTIONS, retry_seconds=0.1
        )
        run = Run(plan)
        await run.connect()
        report = await run.go()
        run.close()
        assert report.answers == {("ask", 200): count}, f"guests: {report.answers}"
        return [str(json.loads(entry.answer)["access_token"]) for entry in entries]


def _guest_entry(host: str) -> Ask:
    body = json.dumps({"email": f"{uuid4()}@example.org"}).encode()
    return Ask(request("POST", "/api/auth/guest", host, body))


@contextmanager
def running(say: Say, *, split: bool = False, **environ: str) -> Iterator[System]:
    """A shop in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="cinesync-bench-") as name:
        folder = Path(name)
        with DataFolder(folder).locked():
            system = System(folder, say, environ, split=split)
            try:
                yield system
            finally:
                system.stop()
