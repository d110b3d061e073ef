"""Transactions: serializable, retried, and applied exactly once even when a COMMIT's fate is lost.

One way in for every service: `await db.run(command, *args)`. Works on PostgreSQL and CockroachDB.
"""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from cinesync.chassis import clock, deadline
from cinesync.chassis.database import url as database_url
from cinesync.chassis.database.statements import text
from cinesync.chassis.database.transaction import Row, Transaction
from cinesync.chassis.deadline import Deadlines
from cinesync.chassis.problems import Unavailable
from cinesync.chassis.telemetry import DATABASE_RETRIES

__all__ = ["Database", "Row", "Transaction", "open_database", "text"]

Isolation = Literal["serializable", "read_committed"]
LEVELS = {"serializable": "SERIALIZABLE", "read_committed": "READ COMMITTED"}
INSERT_RUN_KEY = "INSERT INTO run_keys (run_key) VALUES ('{}') ON CONFLICT (run_key) DO NOTHING"
KEY_IS_THERE = "INSERT 0 0"

P = ParamSpec("P")
T = TypeVar("T")
Command = Callable[Concatenate[Transaction, P], Awaitable[T]]

STATEMENT_TIMEOUT_MS = 30_000
# A server that works ends a statement itself before that; one that hangs does not.
STATEMENT_SECONDS_MAX = 1.5 * STATEMENT_TIMEOUT_MS / 1000
LOCK_TIMEOUT_MS = 10_000
CONNECT_SECONDS_MAX = 10.0
# A plan is kept that was made while a new shop's tables were small, when to read them whole looked
# cheapest. What is read whole is also locked whole (PostgreSQL 18, 13.2.3). So a page found by an
# index costs here what it does on a flash drive.
POSTGRESQL_PLANNER = {"random_page_cost": "1.1"}
RETRY_SECONDS_MAX = 20.0
BACKOFF_SECONDS_FIRST = 0.002
BACKOFF_SECONDS_MAX = 0.5

SERIALIZATION_STATES = frozenset({"40001", "40P01", "55P03"})
# The server is starting, stopping, full, or the connection broke: nothing was committed.
OUTAGE_STATES = frozenset({"57P01", "57P02", "57P03", "53300", "40003"})
CONNECTION_CLASS = "08"
# The disk is full, memory ran out, a file cannot be read or written: nobody's request is wrong.
RESOURCE_CLASSES = ("53", "58")


class DatabaseAway(Unavailable):
    """Our database does not answer right now; please try again in a moment."""


class Contended(Unavailable):
    """Too many people want the same thing at this moment; please try again."""


class DatabaseFull(Unavailable):
    """Our database has no room to write this down right now; please try again in a moment."""


class FateUnknown(Unavailable):
    """We lost the database in the middle of this; look before you try again."""


class Database:
    """A service's own database. Commands are re-runnable and have no effect but SQL.

    With `takes_turns`, this process's commands run one after the other: for batches that all meet
    in the same few pages, where side by side they would only abort each other.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        url: str,
        isolation: Isolation = "serializable",
        *,
        takes_turns: bool = False,
    ) -> None:
        self.engine = engine
        self.url = url
        self._isolation = isolation
        self._deadlines = Deadlines(TimeoutError)
        self._turn = asyncio.Lock() if takes_turns else None
        # Called after each commit that appended to the outbox.
        self.on_events: list[Callable[[], None]] = []

    async def run(self, command: Command[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Commit `command` once, from the start as often as the database asks for it.

        Each run carries a key of its own under a primary key, inserted with its BEGIN. When a
        COMMIT's fate is lost, the next attempt inserts the same key: a duplicate waits for, and
        then proves, the earlier commit; otherwise the command runs again in that very transaction.

        Raises DatabaseAway, Contended or FateUnknown (503) when the retries are used up.
        """
        return await self._run(
            lambda tx: command(tx, *args, **kwargs), run_key=clock.new_id(), turn=self._turn
        )

    async def run_repeatable(self, command: Command[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `run`, without a key: for commands of which a second run changes nothing.

        After a lost COMMIT the answer is the second run's. Consumers are of this kind: their inbox
        rows do what the key does.
        """
        return await self._run(lambda tx: command(tx, *args, **kwargs), turn=self._turn)

    async def run_one(self, command: Command[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the one statement of `command`, a transaction by itself: a third of the round trips.

        No key and no turn: for reads, and for rows that nobody else writes, of which a second run
        changes nothing. Retried like `run`. Raises RuntimeError for a second statement.
        """

        async def once() -> T:
            async with self._connected() as (connection, driver):
                tx = Transaction(
                    connection,
                    driver,
                    self._isolation,
                    is_one_statement=True,
                    seconds_max=_statement_seconds(),
                )
                result = await command(tx, *args, **kwargs)
            self._tell(tx)
            return result

        return await _retried(once)

    async def _run(
        self,
        command: Callable[[Transaction], Awaitable[T]],
        *,
        turn: asyncio.Lock | None,
        run_key: UUID | None = None,
    ) -> T:
        attempts = _Attempts()
        runs: list[tuple[T, Transaction]] = []
        fate_unknown = False
        while True:
            committing = False
            try:
                async with _Turn(turn) as ours, self._begun(run_key) as tx:
                    if tx.key_is_new:
                        fate_unknown = False
                        runs.append((await command(tx), tx))
                        committing = True
                        await tx.commit()
                    # Else the COMMIT whose fate was lost had been applied.
                    ours.end()  # giving the connection back waits for the loop once more
            except Exception as error:  # noqa: BLE001 what is not the database's is raised again
                fate_unknown = fate_unknown or (committing and is_lost(error))
                await attempts.pause_or_raise(error, fate_unknown=fate_unknown)
                continue
            result, committed = runs[-1]
            self._tell(committed)
            return result

    def _tell(self, committed: Transaction) -> None:
        """Who waits for what this transaction did."""
        for told in (*committed.after_commit, *(self.on_events if committed.has_events else ())):
            told()

    async def read(self, query: Command[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `query` in a serializable read-only transaction; retried like `run`."""

        async def once() -> T:
            async with self._begun(readonly=True) as tx:
                return await query(tx, *args, **kwargs)

        return await _retried(once)

    @asynccontextmanager
    async def _begun(
        self, run_key: UUID | None = None, *, readonly: bool = False
    ) -> AsyncIterator[Transaction]:
        """A connection in a transaction; rolled back unless it was ended inside."""
        begin = f"BEGIN ISOLATION LEVEL {LEVELS[self._isolation]}{' READ ONLY' * readonly}"
        if run_key is not None:  # in one message: a turn is as long as its round trips
            begin += f"; {INSERT_RUN_KEY.format(run_key)}"
        async with self._connected() as (connection, driver):
            seconds = _statement_seconds()
            key_is_new = await driver.execute(begin, timeout=seconds) != KEY_IS_THERE
            yield Transaction(
                connection, driver, self._isolation, key_is_new=key_is_new, seconds_max=seconds
            )

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[AsyncConnection, Any]]:
        """A connection and asyncpg's own; it goes back without a transaction, or not at all.

        Raises TimeoutError when the request's deadline comes near: the server may hang.
        """
        with self._in_time():
            async with self.engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None, "connected"
                try:
                    yield connection, driver
                    await _roll_back(driver)
                except asyncio.CancelledError:
                    await connection.invalidate()  # what it was doing, nobody waits for
                    raise
                except BaseException as error:
                    spoilt = (asyncpg.InternalClientError, TimeoutError)
                    if driver.is_closed() or isinstance(error, spoilt):
                        await connection.invalidate()
                    else:
                        await _roll_back(driver)
                    raise

    def _in_time(self) -> AbstractContextManager[object]:
        """A transaction is left in time for an answer; in the background its statements are
        watched one by one."""
        if deadline.current_at() is None:
            return nullcontext()
        margin_seconds = deadline.MARGIN_SECONDS  # the time that hanging up may take
        return self._deadlines.within(deadline.remaining(math.inf, margin_seconds=margin_seconds))

    async def ping(self) -> None:
        """Raises when no connection can be had."""
        async with self._connected() as (_, driver):
            await driver.execute("SELECT 1")

    async def close(self) -> None:
        """Close every pooled connection."""
        await self.engine.dispose()


async def forget_run_keys(tx: Transaction) -> int:
    """Delete keys so old that nobody can still be retrying; how many."""
    statement = text("DELETE FROM run_keys WHERE ran_at < now() - interval '1 hour'")
    return (await tx.execute(statement)).rowcount


async def _roll_back(driver: Any) -> None:
    """What has not been ended."""
    if driver.is_in_transaction():
        await driver.execute("ROLLBACK", timeout=_statement_seconds())


def _statement_seconds() -> float | None:
    """Of each statement, where no deadline watches over all of them."""
    return STATEMENT_SECONDS_MAX if deadline.current_at() is None else None


class _Turn:
    """Ours until it is over, at the latest when the block ends; without a lock, nobody waits."""

    def __init__(self, lock: asyncio.Lock | None) -> None:
        self._lock = lock

    async def __aenter__(self) -> Self:
        if self._lock is not None:
            await self._lock.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Whoever waits goes on."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class _Attempts:
    """Capped exponential backoff with full jitter, ended by a deadline."""

    def __init__(self) -> None:
        seconds = deadline.remaining(RETRY_SECONDS_MAX, margin_seconds=deadline.MARGIN_SECONDS)
        self._deadline = clock.monotonic_seconds() + seconds
        self._backoff_seconds = BACKOFF_SECONDS_FIRST

    async def pause_or_raise(self, error: Exception, *, fate_unknown: bool) -> None:
        """Sleep if trying again can help; else raise what the caller should know."""
        refusal = _refusal(error)
        if refusal is None:
            raise error
        DATABASE_RETRIES.labels(type(refusal).__name__).inc()
        # Room does not come within milliseconds: who can wait tries again later.
        if isinstance(refusal, DatabaseFull) or clock.monotonic_seconds() > self._deadline:
            raise (FateUnknown() if fate_unknown else refusal) from error
        await asyncio.sleep(random.uniform(0, self._backoff_seconds))  # noqa: S311 jitter
        self._backoff_seconds = min(self._backoff_seconds * 2, BACKOFF_SECONDS_MAX)


async def _retried(once: Callable[[], Awaitable[T]]) -> T:
    """As often as it helps, where a second run changes nothing."""
    attempts = _Attempts()
    while True:
        try:
            return await once()
        except Exception as error:  # noqa: BLE001 what is not the database's is raised again
            await attempts.pause_or_raise(error, fate_unknown=False)


def _refusal(error: Exception) -> Unavailable | None:
    """What to tell a client when retries run out, or None when retrying cannot help."""
    state = sqlstate(error) or ""
    if state in SERIALIZATION_STATES:
        return Contended(retry_after_seconds=1)
    if state.startswith(RESOURCE_CLASSES) and state not in OUTAGE_STATES:
        return DatabaseFull(retry_after_seconds=5)
    return DatabaseAway(retry_after_seconds=2) if is_lost(error) else None


def is_lost(error: Exception) -> bool:
    """Whether the connection or the server went away."""
    state = sqlstate(error)
    if state in OUTAGE_STATES or (state or "").startswith(CONNECTION_CLASS):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, (InterfaceError, OperationalError)) and state is None:
        return True
    # A server that dies between two messages may leave asyncpg in the middle of an operation:
    # "cannot switch to state 12; another operation (2) is in progress".
    lost = (OSError, PoolTimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    return isinstance(error, lost)


def sqlstate(error: BaseException) -> str | None:
    """The SQLSTATE behind a driver's error, if it has one."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def open_database(
    url: str, *, pool_size: int = 6, application: str = "cinesync", takes_turns: bool = False
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
    connect_args = {
        "timeout": CONNECT_SECONDS_MAX,
        "server_settings": server_settings,
        **target.connect_args,
    }
    engine = create_async_engine(
        target.url,
        isolation_level="AUTOCOMMIT",  # `run` and `read` begin themselves; DDL never does
        pool_size=pool_size,
        max_overflow=2,
        pool_timeout=10,
        json_deserializer=msgspec.json.decode,
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        connect_args=connect_args,
    )
    return Database(engine, url, takes_turns=takes_turns)
