"""PostgreSQL from a wheel, as a child process of the supervisor."""

from cinesync.supervisor.postgres.server import Postgres, PostgresFailed

__all__ = ["Postgres", "PostgresFailed"]
