"""Each service's own role and database in the shop's PostgreSQL, made before it listens.

A role owns its database and may enter no other, so that what goes wrong in one service stays in
its own tables. Everybody shows a password (SCRAM), the superuser too; the passwords follow from the
shop's secret, so that a restored or copied folder has them again.

All of it is done by the server itself in its single-user mode, while nobody can connect: a service
never meets a database that is half its own. What was the superuser's, in a folder of an earlier
version, becomes the role's. The file `roles` says what was done, so that later starts save the
time; every statement may be repeated.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

VERSION = 1
SUPERUSER = "postgres"
HBA = """\
# Written by cinesync at each start.
local all all {method}
local replication all {method}
"""
# What a second run says.
HARMLESS = re.compile(r'ERROR:\s+(role|database) "\w+" already exists')
ERROR = re.compile(r"\b(ERROR|FATAL|PANIC):.*")
FOUND = re.compile(r'\t\s*1: statement = "(.*)"\t')
FOREIGN_TABLES = (
    "SELECT 'ALTER TABLE public.' || quote_ident(tablename) || ' OWNER TO {role}' AS statement"
    " FROM pg_tables WHERE schemaname = 'public' AND tableowner <> '{role}'"
)

# Runs statements, one a line, in a database; what it says, on both streams.
Run = Callable[[str, str], str]


class RolesFailed(RuntimeError):
    """The roles could not be made; the message has the server's own words."""


class Roles:
    """The passwords of one cluster, and what makes them true. Each database's role has its name."""

    def __init__(self, folder: Path, secret: str, databases: Sequence[str]) -> None:
        self._file = folder / "roles"
        self._secret = secret.encode()
        self._databases = tuple(databases)

    def password(self, role: str) -> str:
        """256 bits that only the shop's secret leads to."""
        label = f"cinesync 1: database role {role}"
        return hmac.digest(self._secret, label.encode(), "sha256").hex()

    @property
    def hba(self) -> str:
        """`pg_hba.conf`: nobody gets in without a password."""
        return HBA.format(method="scram-sha-256")

    def are_made(self) -> bool:
        """Whether the cluster has them, as far as is noted beside it."""
        try:
            return self._file.read_text() == self._note()
        except OSError:
            return False

    def make(self, run: Run) -> None:
        """Raises RolesFailed."""
        _checked(run("postgres", "\n".join(self._cluster())))
        for database in self._databases:
            said = _checked(run(database, FOREIGN_TABLES.format(role=database)))
            if statements := FOUND.findall(said):
                _checked(run(database, "\n".join(statements)))
        self._file.write_text(self._note())

    def _cluster(self) -> Iterator[str]:
        yield f"ALTER ROLE {SUPERUSER} PASSWORD '{self.password(SUPERUSER)}'"
        for database in ("postgres", "template1"):
            yield f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"
        for name in self._databases:
            yield f"CREATE ROLE {name}"
            yield f"ALTER ROLE {name} LOGIN PASSWORD '{self.password(name)}'"
            yield f"CREATE DATABASE {name} OWNER {name}"
            yield f"ALTER DATABASE {name} OWNER TO {name}"
            yield f"REVOKE ALL ON DATABASE {name} FROM PUBLIC"

    def _note(self) -> str:
        told = (str(VERSION), *(f"{name} {self.password(name)}" for name in self._databases))
        return hashlib.sha256("\n".join((self.password(SUPERUSER), *told)).encode()).hexdigest()


def _checked(said: str) -> str:
    for line in said.splitlines():
        if (error := ERROR.search(line)) and not HARMLESS.search(line):
            raise RolesFailed(error[0])
    return said
