"""What an audit reads: databases, payment providers, the broker and the validators' files."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Concatenate, Final, ParamSpec, Protocol, TypeVar
from uuid import UUID

from cinesync.chassis.database import Database, Transaction
from cinesync.chassis.messaging.dead_letters import DeadLetter
from cinesync.payment.gateways import PaymentGateway

PAGE: Final = 2000
OVERDUE_SECONDS: Final = 600.0

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Read from the environment under these names in upper case."""

    audit_overdue_seconds: Annotated[
        float, "what is older than this and still not in the ledger is no longer on its way"
    ] = OVERDUE_SECONDS
    shop_has_broker: Annotated[bool, "set by commands: whether events go through RabbitMQ"] = False
    shop_is_running: Annotated[bool, "set by commands: whether what waits can still arrive"] = True


class Broker(Protocol):
    """The queues of RabbitMQ, as an audit reads them."""

    async def waiting(self, queues: Sequence[str]) -> list[DeadLetter]:
        """The dead letters of `queues`."""

    async def undelivered(self, queues: Sequence[str]) -> int:
        """How many events wait in `queues` for their consumers."""


@dataclass(frozen=True, slots=True)
class AuditSources:
    """Everything that an audit reads.

    `broker` is None if the databases are the queues, or, with `has_broker`, if its URL is not
    configured. `ledger` is None if the validators are on other machines. While the shop
    `is_running`, what is younger than `overdue_seconds` may still be on its way.
    """

    databases: Mapping[str, Database]
    gateways: Mapping[str, PaymentGateway]
    broker: Broker | None
    queues: Sequence[str]
    ledger: Path | None
    is_running: bool = True
    has_broker: bool = False
    overdue_seconds: float = OVERDUE_SECONDS

    @property
    def booking(self) -> Database:
        return self.databases["booking"]

    @property
    def payment(self) -> Database:
        return self.databases["payment"]


async def pages(
    db: Database,
    query: Callable[Concatenate[Transaction, UUID, int, P], Awaitable[list[R]]],
    key: Callable[[R], UUID],
    *args: P.args,
    **kwargs: P.kwargs,
) -> AsyncIterator[list[R]]:
    """All rows in the order of their key, PAGE at a time, each page in its own transaction."""
    after = UUID(int=0)
    while page := await db.read(query, after, PAGE, *args, **kwargs):
        yield page
        after = key(page[-1])
