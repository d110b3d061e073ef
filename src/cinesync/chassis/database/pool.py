"""asyncpg's pool, with what a transaction needs of a connection.

Connections are opened when they are first needed. Nothing is reset when one comes back: sessions
are changed by SET LOCAL only, and CockroachDB has no RESET ALL. JSONB comes out decoded.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import msgspec

from cinesync.chassis.database.transaction import Row

ACQUIRE_SECONDS_MAX = 10.0
CLOSE_SECONDS_MAX = 2.0
JSONB_VERSION = b"\x01"  # the first byte of a JSONB value in PostgreSQL's binary format


class Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that goes back to the pool without a round trip."""

    def get_reset_query(self) -> str:
        """Nothing: see above."""
        return ""


class Pool:
    """At most `size` connections, made with asyncpg's `arguments`."""

    def __init__(self, arguments: Mapping[str, Any], size: int) -> None:
        self.size = size
        self.connection_class: type[Connection] = Connection
        self._arguments = arguments
        self._pool: Any = None

    @property
    def in_use(self) -> int:
        """Connections that are working now."""
        return self._pool.get_size() - self._pool.get_idle_size() if self._pool else 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for the block, which ends its transactions itself. It is closed instead of
        given back when nobody knows what it is doing: after a cancellation, a timeout, or an error
        of asyncpg's own.

        Raises TimeoutError when none is free for too long.
        """
        pool = self._pool = self._pool or await self._open()
        async with asyncio.timeout(ACQUIRE_SECONDS_MAX):
            connection = await pool.acquire()
        try:
            yield connection
        except (asyncio.CancelledError, TimeoutError, asyncpg.InternalClientError):
            with suppress(Exception):  # then asyncpg has dropped it
                # In good order, so that the server ends the statement too.
                await connection.close(timeout=CLOSE_SECONDS_MAX)
            raise
        finally:
            await pool.release(connection)

    async def close(self) -> None:
        """Close every connection."""
        pool, self._pool = self._pool, None
        if pool is not None:
            with suppress(TimeoutError):  # then asyncpg has dropped them
                async with asyncio.timeout(CLOSE_SECONDS_MAX):
                    await pool.close()

    async def _open(self) -> Any:
        """Opens no connection yet, so that nothing else runs before it returns."""
        return await asyncpg.create_pool(
            min_size=0,
            max_size=self.size,
            max_inactive_connection_lifetime=0,
            connection_class=self.connection_class,
            record_class=Row,
            init=_decode_jsonb,
            **self._arguments,
        )


async def _decode_jsonb(connection: Any) -> None:
    await connection.set_type_codec(
        "jsonb",
        encoder=lambda text: JSONB_VERSION + text.encode(),
        decoder=lambda value: msgspec.json.decode(memoryview(value)[len(JSONB_VERSION) :]),
        schema="pg_catalog",
        format="binary",
    )
