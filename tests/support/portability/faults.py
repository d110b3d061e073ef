"""A PostgreSQL connection that fails where a test wants it to, as CockroachDB and networks do."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import asyncpg

from cinesync.chassis.database import Database
from cinesync.chassis.database.pool import Connection


class Fault(Enum):
    """What goes wrong, once."""

    RETRY = "40001 at a statement"
    LOSS = "the connection is lost at a statement"
    RETRY_AT_COMMIT = "40001 at COMMIT"
    UNKNOWN_APPLIED = "40003 at COMMIT, which was applied"
    UNKNOWN_NOT_APPLIED = "40003 at COMMIT, which was not applied"
    LOSS_BEFORE_COMMIT = "the connection is lost before COMMIT arrives"
    LOSS_AFTER_COMMIT = "the connection is lost before the answer to COMMIT arrives"


AT_STATEMENT = (Fault.RETRY, Fault.LOSS)
AT_COMMIT = tuple(fault for fault in Fault if fault not in AT_STATEMENT)
APPLIED = (Fault.UNKNOWN_APPLIED, Fault.LOSS_AFTER_COMMIT)


@dataclass
class Plan:
    """When which fault strikes. Unarmed, it only counts."""

    fault: Fault | None = None
    at: int = 0
    statements: int = 0
    commits: int = 0
    has_fired: bool = False

    def arm(self, fault: Fault | None, at: int = 1) -> None:
        """Strike at the `at`-th statement, or the `at`-th COMMIT, from now."""
        self.fault, self.at = fault, at
        self.statements = self.commits = 0
        self.has_fired = False

    def at_statement(self) -> Fault | None:
        """Called before each statement."""
        self.statements += 1
        return self._strike(AT_STATEMENT, self.statements)

    def at_commit(self) -> Fault | None:
        """Called before each COMMIT."""
        self.commits += 1
        return self._strike(AT_COMMIT, self.commits)

    def _strike(self, faults: tuple[Fault, ...], count: int) -> Fault | None:
        if self.has_fired or self.fault not in faults or count != self.at:
            return None
        self.has_fired = True
        return self.fault


def retry_error() -> asyncpg.PostgresError:
    """As CockroachDB says it."""
    return asyncpg.exceptions.SerializationError(
        "restart transaction: TransactionRetryWithProtoRefreshError"
    )


def unknown_error() -> asyncpg.PostgresError:
    """SQLSTATE 40003: nobody knows whether it was committed."""
    return asyncpg.exceptions.StatementCompletionUnknownError("result is ambiguous")


def loss_error() -> asyncpg.PostgresError:
    """What asyncpg raises when the socket closes under it."""
    return asyncpg.exceptions.ConnectionDoesNotExistError(
        "connection was closed in the middle of operation"
    )


def strike(connection: asyncpg.Connection, plan: Plan) -> None:
    """Fail a statement, if it is its turn."""
    fault = plan.at_statement()
    if fault is Fault.RETRY:
        raise retry_error()
    if fault is Fault.LOSS:
        connection.terminate()
        raise loss_error()


async def commit(connection: Any, plan: Plan) -> None:
    """COMMIT, with the planned fault."""
    fault = plan.at_commit()
    if fault is Fault.LOSS_BEFORE_COMMIT:
        connection.terminate()
        raise loss_error()
    if fault in {Fault.RETRY_AT_COMMIT, Fault.UNKNOWN_NOT_APPLIED}:
        await connection.execute("ROLLBACK")
        raise retry_error() if fault is Fault.RETRY_AT_COMMIT else unknown_error()
    await asyncpg.Connection.execute(connection, "COMMIT")
    if fault is Fault.UNKNOWN_APPLIED:
        raise unknown_error()
    if fault is Fault.LOSS_AFTER_COMMIT:
        connection.terminate()
        raise loss_error()


def faulty_connection(plan: Plan) -> type[Connection]:
    """A connection class for asyncpg that follows `plan`."""

    class FaultyConnection(Connection):
        async def fetch(self, *args: Any, **kwargs: Any) -> Any:
            """Before each statement that answers rows."""
            strike(self, plan)
            return await super().fetch(*args, **kwargs)

        async def execute(self, query: str, *args: Any, **kwargs: Any) -> Any:
            """Before each statement that answers none; BEGIN and COMMIT come this way too."""
            if query == "COMMIT":
                return await commit(self, plan)
            if "INSERT" in query or not query.startswith(("BEGIN", "ROLLBACK")):
                strike(self, plan)
            return await super().execute(query, *args, **kwargs)

    return FaultyConnection


def make_faulty(db: Database) -> Plan:
    """Let every new connection of `db` follow the plan that is returned."""
    plan = Plan()
    db.pool.connection_class = faulty_connection(plan)
    return plan


def every_fault(statements: int) -> list[tuple[Fault, int]]:
    """Each fault at each of its places in a transaction of so many statements."""
    at_statements = [(fault, at) for at in range(1, statements + 1) for fault in AT_STATEMENT]
    return [*at_statements, *((fault, 1) for fault in AT_COMMIT)]
