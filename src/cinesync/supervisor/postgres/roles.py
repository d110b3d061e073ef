"""A role and a database for each service, created before PostgreSQL accepts connections.

A role owns its database and may enter no other, so a broken service reaches only its own tables.
Every client needs a password (SCRAM), the superuser too. The passwords are derived from the shop's
secret, so a restored or copied folder has the same ones.

The server does this in its single-user mode, while no client can connect: a service never sees half
of it. In a folder of an earlier version, the superuser's tables become the role's. The file `roles`
records what was done, so that later starts skip it; every statement may be repeated.
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
# The output of a repeated statement.
HARMLESS = re.compile(r'ERROR:\s+(role|database) "\w+" already exists')
ERROR = re.compile(r"\b(ERROR|FATAL|PANIC):.*")
FOUND = re.compile(r'\t\s*1: statement = "(.*)"\t')
FOREIGN_TABLES = (
    "SELECT 'ALTER TABLE public.' || quote_ident(tablename) || ' OWNER TO {role}' AS statement"
    " FROM pg_tables WHERE schemaname = 'public' AND tableowner <> '{role}'"
)

# Runs statements, one a line, in a database; returns its output, of both streams.
RunStatements = Callable[[str, str], str]


class RolesFailed(RuntimeError):
    """The roles could not be made; the message has the server's error."""


class Roles:
    """The roles of one cluster and their passwords; each database's role has its name."""

    def __init__(self, folder: Path, secret: str, databases: Sequence[str]) -> None:
        self._file = folder / "roles"
        self._secret = secret.encode()
        self._databases = tuple(databases)

    def password(self, role: str) -> str:
        """256 bits, derived from the shop's secret."""
        label = f"cinesync 1: database role {role}"
        return hmac.digest(self._secret, label.encode(), "sha256").hex()

    @property
    def hba(self) -> str:
        """`pg_hba.conf`: every client needs a password."""
        return HBA.format(method="scram-sha-256")

    def exist(self) -> bool:
        """Whether they were created, by the file beside the cluster."""
        try:
            return self._file.read_text() == self._record()
        except OSError:
            return False

    def create(self, run: RunStatements) -> None:
        """Raises RolesFailed."""
        _checked(run("postgres", "\n".join(self._statements())))
        for database in self._databases:
            output = _checked(run(database, FOREIGN_TABLES.format(role=database)))
            if statements := FOUND.findall(output):
                _checked(run(database, "\n".join(statements)))
        self._file.write_text(self._record())

    def _statements(self) -> Iterator[str]:
        yield f"ALTER ROLE {SUPERUSER} PASSWORD '{self.password(SUPERUSER)}'"
        for database in ("postgres", "template1"):
            yield f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"
        for name in self._databases:
            yield f"CREATE ROLE {name}"
            yield f"ALTER ROLE {name} LOGIN PASSWORD '{self.password(name)}'"
            yield f"CREATE DATABASE {name} OWNER {name}"
            yield f"ALTER DATABASE {name} OWNER TO {name}"
            yield f"REVOKE ALL ON DATABASE {name} FROM PUBLIC"

    def _record(self) -> str:
        facts = (str(VERSION), *(f"{name} {self.password(name)}" for name in self._databases))
        return hashlib.sha256("\n".join((self.password(SUPERUSER), *facts)).encode()).hexdigest()


def _checked(output: str) -> str:
    for line in output.splitlines():
        if (error := ERROR.search(line)) and not HARMLESS.search(line):
            raise RolesFailed(error[0])
    return output
