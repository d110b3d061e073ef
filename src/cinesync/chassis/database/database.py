"""A service's database: transactions that are serializable, retried, and applied exactly once.

Every service uses it as `await db.run(command, *args)`. Works on PostgreSQL and CockroachDB.

When a connection breaks during COMMIT, nobody knows whether the transaction was applied. So `run`
inserts a commit marker, a new id under a primary key, with its BEGIN. After a lost COMMIT the next
attempt inserts the same marker. If the first transaction is still in flight, the insert waits for
it; if it was applied, the marker is there and the result of the first attempt is returned; if not,
the command runs again, in the transaction that now has the marker (ADR 2).

Hand-written, because no library retries transactions over asyncpg and settles a lost COMMIT.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from datetime import timedelta
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar
from uuid import UUID

import asyncpg
from sqlalchemy import Interval, bindparam, delete, func

from cinesync.chassis import clock, deadline
from cinesync.chassis.database import url as database_url
from cinesync.chassis.database.pool import Pool
from cinesync.chassis.database.retry import Attempts, is_lost, retried
from cinesync.chassis.database.statements import compiled
from cinesync.chassis.database.tables import commit_markers
from cinesync.chassis.database.transaction import Transaction
from cinesync.chassis.deadline import Deadlines

Isolation = Literal["serializable", "read_committed"]
LEVELS = {"serializable": "SERIALIZABLE", "read_committed": "READ COMMITTED"}
# With BEGIN in one message, which takes no parameters: a round trip less.
INSERT_MARKER = "INSERT INTO run_keys (run_key) VALUES ('{}') ON CONFLICT (run_key) DO NOTHING"
MARKER_EXISTED = "INSERT 0 0"
DELETE_MARKERS = compiled(
    delete(commit_markers).where(
        commit_markers.c.ran_at < func.now() - bindparam("age", type_=Interval)
    )
)
MARKER_AGE_MAX = timedelta(hours=1)  # nobody retries for that long

P = ParamSpec("P")
T = TypeVar("T")
Command = Callable[Concatenate[Transaction, P], Awaitable[T]]

STATEMENT_TIMEOUT_MS = 30_000
# A server that works ends a statement itself before that; one that hangs does not.
STATEMENT_SECONDS_MAX = 1.5 * STATEMENT_TIMEOUT_MS / 1000
LOCK_TIMEOUT_MS = 10_000
CONNECT_SECONDS_MAX = 10.0
# PostgreSQL keeps a statement's plan. One made while a new shop's tables are small reads them
# whole, and SERIALIZABLE then locks them whole (PostgreSQL 18, 13.2.3). So a page found by an index
# costs here what it does on a flash drive (ADR 17).
POSTGRESQL_PLANNER = {"random_page_cost": "1.1"}


class Database:
    """A service's own database. Commands are re-runnable and have no effect but SQL.

    With `serialize_writes`, a lock lets one command of this process run at a time: for batches that
    write the same few pages and would otherwise abort each other.
    """

    def __init__(
        self,
        pool: Pool,
        url: str,
        isolation: Isolation = "serializable",
        *,
        serialize_writes: bool = False,
    ) -> None:
        self.pool = pool
        self.url = url
        self._isolation = isolation
        self._deadlines = Deadlines(TimeoutError)
        self._write_lock = asyncio.Lock() if serialize_writes else None
        # Called after each commit that appended to the outbox.
        self.on_events: list[Callable[[], None]] = []

    @property
    def name(self) -> str:
        """The database's name on its server."""
        return database_url.parse(self.url).url.database or ""

    async def run(self, command: Command[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Commit `command` once; run it again from its start as often as the database asks for it.

        Raises DatabaseAway, Contended, DatabaseFull or FateUnknown (503) when the retries end.
        """
        return await self._run(lambda tx: command(tx, *args, **kwargs), marker=clock.new_id())

    async def run_repeatable(self, command: Command[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `run`, without a commit marker: for commands that change nothing the second time.

        After a lost COMMIT the result is the second run's. Event handlers are of this kind: their
        inbox rows do what the marker does.
        """
        return await self._run(lambda tx: command(tx, *args, **kwargs))

    async def run_one(self, command: Command[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the one statement of `command`, a transaction by itself: a third of the round trips.

        Neither marker nor lock: for reads, and for writes of rows that no other process writes and
        that change nothing the second time. Retried like `run`. Raises RuntimeError for a second
        statement.
        """

        async def once() -> T:
            async with self.connection() as connection:
                tx = Transaction(
                    connection,
                    self._isolation,
                    is_one_statement=True,
                    seconds_max=_statement_seconds(),
                )
                result = await command(tx, *args, **kwargs)
            self._notify(tx)
            return result

        return await retried(once)

    async def _run(
        self, command: Callable[[Transaction], Awaitable[T]], *, marker: UUID | None = None
    ) -> T:
        attempts = Attempts()
        runs: list[tuple[T, Transaction]] = []
        fate_unknown = False
        while True:
            committing = False
            try:
                async with _Locked(self._write_lock) as lock, self._begun(marker) as tx:
                    if tx.marker_is_new:
                        fate_unknown = False
                        runs.append((await command(tx), tx))
                        committing = True
                        await tx.commit()
                    # Else the COMMIT whose fate was unknown had been applied.
                    lock.release()  # first: to give the connection back takes another loop cycle
            except Exception as error:  # noqa: BLE001 other errors are raised again
                fate_unknown = fate_unknown or (committing and is_lost(error))
                await attempts.pause_or_raise(error, fate_unknown=fate_unknown)
                continue
            result, committed = runs[-1]
            self._notify(committed)
            return result

    def _notify(self, committed: Transaction) -> None:
        """Call who waits for this transaction's commit."""
        for callback in (
            *committed.after_commit,
            *(self.on_events if committed.has_events else ()),
        ):
            callback()

    async def read(self, query: Command[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `query` in a serializable read-only transaction; retried like `run`."""

        async def once() -> T:
            async with self._begun(readonly=True) as tx:
                return await query(tx, *args, **kwargs)

        return await retried(once)

    @asynccontextmanager
    async def _begun(
        self, marker: UUID | None = None, *, readonly: bool = False
    ) -> AsyncIterator[Transaction]:
        """A connection in a transaction; rolled back unless it was committed inside."""
        begin = f"BEGIN ISOLATION LEVEL {LEVELS[self._isolation]}{' READ ONLY' * readonly}"
        if marker is not None:
            begin += f"; {INSERT_MARKER.format(marker)}"
        async with self.connection() as connection:
            seconds = _statement_seconds()
            status = await connection.execute(begin, timeout=seconds)
            yield Transaction(
                connection,
                self._isolation,
                marker_is_new=status != MARKER_EXISTED,
                seconds_max=seconds,
            )

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection of asyncpg's in no transaction, for what is not a command: DDL, and `run`.

        Raises TimeoutError shortly before the request's deadline: the server may hang.
        """
        with self._until_deadline():
            async with self.pool.connection() as connection:
                try:
                    yield connection
                except (asyncio.CancelledError, TimeoutError, asyncpg.InternalClientError):
                    raise  # the pool closes it
                except BaseException:
                    if not connection.is_closed():
                        await _roll_back(connection)
                    raise
                await _roll_back(connection)

    def _until_deadline(self) -> AbstractContextManager[object]:
        """A request's transactions end in time for its response. Work in the background has no
        deadline; each of its statements has a limit.
        """
        if deadline.current_at() is None:
            return nullcontext()
        margin_seconds = deadline.MARGIN_SECONDS  # what closing the connection may take
        return self._deadlines.within(deadline.remaining(math.inf, margin_seconds=margin_seconds))

    async def ping(self) -> None:
        """Raises when no connection can be had."""
        async with self.connection() as connection:
            await connection.execute("SELECT 1")

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.pool.close()


async def delete_old_markers(tx: Transaction) -> int:
    """Delete commit markers of commands that nobody retries any more; how many."""
    return (await tx.execute(DELETE_MARKERS, {"age": MARKER_AGE_MAX})).rowcount


async def _roll_back(connection: Any) -> None:
    """End a transaction that was not ended."""
    if connection.is_in_transaction():
        await connection.execute("ROLLBACK", timeout=_statement_seconds())


def _statement_seconds() -> float | None:
    """The limit of each statement, where no deadline limits all of them."""
    return STATEMENT_SECONDS_MAX if deadline.current_at() is None else None


class _Locked:
    """Holds a lock until `release`, at the latest until the block ends; without one, waits for
    nothing.
    """

    def __init__(self, lock: asyncio.Lock | None) -> None:
        self._lock = lock

    async def __aenter__(self) -> Self:
        if self._lock is not None:
            await self._lock.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Let the next one go on."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def open_database(
    url: str, *, pool_size: int = 8, application: str = "cinesync", serialize_writes: bool = False
) -> Database:
    """A pool for `url`: postgresql://… or cockroachdb://…, several hosts and TLS included.

    Raises DatabaseUrlError.
    """
    target = database_url.parse(url)
    server_settings = {
        "application_name": application,
        "statement_timeout": str(STATEMENT_TIMEOUT_MS),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "timezone": "UTC",
        "default_transaction_isolation": "serializable",
    }
    if target.url.get_backend_name() == "postgresql":
        server_settings |= POSTGRESQL_PLANNER
    arguments = {
        "timeout": CONNECT_SECONDS_MAX,
        "server_settings": server_settings,
        **target.arguments,
    }
    return Database(Pool(arguments, pool_size), url, serialize_writes=serialize_writes)
