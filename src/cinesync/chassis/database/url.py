"""DATABASE_URL, as libpq reads it: hosts, TLS and which server of several is wanted.

SQLAlchemy's own reader knows one host before the path, and asyncpg takes TLS as a context. What is
not understood is refused with a sentence: a misspelt `sslmode` must not be a connection in the
clear. `allow` and `prefer` are refused too, for they give no more to somebody who asks for it than
the network in between lets pass. Without any `sslmode` the driver does as libpq does (`prefer`),
and a log line says so.

No message repeats the URL: a password may stand in it.
"""

import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import asyncpg
from sqlalchemy import URL

from cinesync.chassis import telemetry
from cinesync.chassis.settings import SettingsError

log = telemetry.get_logger(__name__)

PORT = 5432
ENGINES = frozenset({"postgresql", "cockroachdb"})
SAFE_MODES = "verify-full (and sslrootcert) is safe; verify-ca does not check the server's name"
REFUSED_MODES: Mapping[str, str] = {
    "allow": "encrypts only when the server insists, so that anybody in between can read it all",
    "prefer": "encrypts only when nobody in between says no",
}
MODES = ("disable", "require", "verify-ca", "verify-full")
# The driver's words for which of several servers is wanted; CockroachDB's are all alike.
SESSION_ATTRS = frozenset(
    {"any", "primary", "standby", "read-write", "read-only", "prefer-standby"}
)
TLS_NAMES = ("sslmode", "sslrootcert", "sslcert", "sslkey")
CACHE_SIZE = "prepared_statement_cache_size"  # 0 behind a pooler that mixes sessions
NAMES = frozenset(
    {*TLS_NAMES, CACHE_SIZE, "host", "port", "target_session_attrs", "connect_timeout"}
)
PROBE_SECONDS = 5.0
NO_SUCH_DATABASE = "3D000"  # its server answers
_URL = re.compile(
    r"(?P<scheme>[\w+]+)://(?:(?P<user>[^/@?]*)@)?(?P<hosts>[^/?]*)(?:/(?P<database>[^?]*))?"
    r"(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^:\[\]]*)(?::(?P<port>\d{1,5}))?")


class DatabaseUrlError(SettingsError):
    """DATABASE_URL is not as libpq would have it."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"DATABASE_URL: {detail}")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """`url` is for SQLAlchemy, with `connect_args` for asyncpg beside it."""

    url: URL
    connect_args: Mapping[str, object]
    hosts: Sequence[str]

    @property
    def arguments(self) -> Mapping[str, Any]:
        """All that asyncpg takes."""
        found = {**self.url.translate_connect_args(username="user"), **self.connect_args}
        if "host" in self.url.query:  # a socket's folder
            found["host"] = self.url.query["host"]
        if CACHE_SIZE in self.url.query:
            found["statement_cache_size"] = int(str(self.url.query[CACHE_SIZE]))
        return found

    @property
    def place(self) -> str:
        """Where it leads, for people; without user and password."""
        return ", ".join(self.hosts) or "the local socket"


def parse(text: str) -> DatabaseUrl:
    """Raises DatabaseUrlError."""
    found = _URL.fullmatch(text.strip())
    if found is None:
        raise DatabaseUrlError("it takes the form postgresql://user:password@host:5432/database")
    engine = found["scheme"].partition("+")[0]
    engine = "postgresql" if engine == "postgres" else engine
    if engine not in ENGINES:
        raise DatabaseUrlError(f"{engine} is no engine of ours; postgresql and cockroachdb are")
    query = _query(found["query"] or "")
    hosts = _hosts(unquote(found["hosts"]), query)
    user, _, password = (found["user"] or "").partition(":")
    driver = {CACHE_SIZE: query[CACHE_SIZE]} if CACHE_SIZE in query else {}
    one = hosts[0] if len(hosts) == 1 else None
    is_socket = one is not None and one[0].startswith("/")
    url = URL.create(
        f"{engine}+asyncpg",
        username=unquote(user) or None,
        password=unquote(password) or None,
        host=None if one is None or is_socket else one[0],
        port=None if one is None or is_socket else one[1],
        database=unquote(found["database"] or "") or None,
        query=driver | ({"host": one[0]} if is_socket and one else {}),
    )
    return DatabaseUrl(url, _connect_args(hosts, query), [_place(*host) for host in hosts])


def with_database(text: str, database: str) -> str:
    """The same server, another database."""
    scheme, _, rest = text.partition("://")
    server, _, query = rest.partition("?")
    # A user's or a host's slash is percent-encoded: the first one begins the path.
    return f"{scheme}://{server.partition('/')[0]}/{quote(database)}" + (f"?{query}" * bool(query))


async def unreachable(text: str, seconds: float = PROBE_SECONDS) -> str | None:
    """Why a connection to the server fails, in one line; None when it succeeds.

    Raises DatabaseUrlError.
    """
    target = parse(text)
    timeout = min(seconds, float(target.arguments.get("timeout", seconds)))
    try:
        connection = await asyncpg.connect(**{**target.arguments, "timeout": timeout})
        await connection.close()
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ssl.SSLError) as error:
        if getattr(error, "sqlstate", None) == NO_SUCH_DATABASE:
            return None
        reason = (str(error) or "no answer").splitlines()[0]
        if isinstance(error, TimeoutError):
            reason = f"no answer within {seconds:.0f} s"
        return f"the database at {target.place} cannot be reached: {reason}"
    return None


def _query(text: str) -> dict[str, str]:
    pairs = parse_qsl(text, keep_blank_values=True)
    query: dict[str, str] = {}
    for name, value in pairs:
        if name not in NAMES:
            known = ", ".join(sorted(NAMES - {CACHE_SIZE}))
            raise DatabaseUrlError(f"there is no parameter {name}; there are {known}")
        # SQLAlchemy writes several hosts as several parameters.
        query[name] = f"{query[name]},{value}" if name == "host" and name in query else value
    return query


def _hosts(written: str, query: Mapping[str, str]) -> list[tuple[str, int]]:
    """Each with its port. Raises DatabaseUrlError."""
    named = query.get("host") or written
    if not named:
        return []
    texts = [named] if named.startswith("/") else named.split(",")
    hosts = []
    ports = query.get("port", "").split(",")
    if len(ports) not in {1, len(texts)}:
        raise DatabaseUrlError(f"{len(texts)} hosts and {len(ports)} ports; give one port each")
    for number, text in enumerate(texts):
        port = ports[number % len(ports)] or str(PORT)
        host = text
        if not text.startswith("/"):
            found = _HOST.fullmatch(text)
            if found is None or not found["host"]:
                raise DatabaseUrlError(f"{text or 'an empty text'} is no host, or no host:port")
            host, port = found["host"].strip("[]"), found["port"] or port
        if not port.isdecimal() or not 0 < int(port) <= 65_535:  # noqa: PLR2004 the largest port
            raise DatabaseUrlError(f"{port} is no port")
        hosts.append((host, int(port)))
    return hosts


def _connect_args(hosts: Sequence[tuple[str, int]], query: Mapping[str, str]) -> dict[str, object]:
    arguments: dict[str, object] = {}
    if len(hosts) > 1:
        arguments["host"] = [host for host, _ in hosts]
        arguments["port"] = [port for _, port in hosts]
    wanted = query.get("target_session_attrs", "read-write" if len(hosts) > 1 else "")
    if wanted:
        if wanted not in SESSION_ATTRS:
            known = ", ".join(sorted(SESSION_ATTRS))
            raise DatabaseUrlError(f"target_session_attrs={wanted} is none of {known}")
        arguments["target_session_attrs"] = wanted
    if "connect_timeout" in query:
        if not query["connect_timeout"].isdecimal() or int(query["connect_timeout"]) < 1:
            raise DatabaseUrlError("connect_timeout takes whole seconds, at least 1")
        arguments["timeout"] = float(query["connect_timeout"])
    if not query.get(CACHE_SIZE, "0").isdecimal():
        raise DatabaseUrlError(f"{CACHE_SIZE} takes a whole number")
    if (tls := _tls(hosts, {name: query[name] for name in TLS_NAMES if name in query})) is not None:
        arguments["ssl"] = tls
    return arguments


def _tls(
    hosts: Sequence[tuple[str, int]], parameters: Mapping[str, str]
) -> ssl.SSLContext | bool | None:
    """What asyncpg takes: a context, False for no TLS, None for its own default."""
    mode = parameters.get("sslmode")
    if mode is None:
        if parameters:
            raise DatabaseUrlError(f"{', '.join(parameters)} without sslmode; {SAFE_MODES}")
        if unverified := [_place(*host) for host in hosts if not _is_here(host[0])]:
            log.warning("database.tls_not_asked_for", hosts=unverified, hint="sslmode=verify-full")
        return None
    if mode in REFUSED_MODES:
        raise DatabaseUrlError(f"sslmode={mode} {REFUSED_MODES[mode]}; {SAFE_MODES}")
    if mode not in MODES:
        raise DatabaseUrlError(f"sslmode={mode} is none of {', '.join(MODES)}; {SAFE_MODES}")
    certificates = {name: value for name, value in parameters.items() if name != "sslmode"}
    if mode == "disable":
        if certificates:
            raise DatabaseUrlError(f"{', '.join(certificates)} with sslmode=disable; {SAFE_MODES}")
        return False
    return _context(mode, certificates)


def _context(mode: str, certificates: Mapping[str, str]) -> ssl.SSLContext:
    authority = certificates.get("sslrootcert")
    if mode.startswith("verify") and not authority:
        raise DatabaseUrlError(
            f"sslmode={mode} needs sslrootcert: the file of the authority that signed the server's"
            " certificate, or `system` for the authorities of this machine"
        )
    if authority == "system" and mode != "verify-full":
        raise DatabaseUrlError("sslrootcert=system needs sslmode=verify-full: anybody has one")
    if "sslkey" in certificates and "sslcert" not in certificates:
        raise DatabaseUrlError("sslkey without sslcert")
    try:
        context = ssl.create_default_context(cafile=None if authority == "system" else authority)
        context.check_hostname = mode == "verify-full"
        if mode == "require" and not authority:
            context.verify_mode = ssl.CERT_NONE
        if "sslcert" in certificates:
            context.load_cert_chain(certificates["sslcert"], certificates.get("sslkey"))
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(f"{name}={value}" for name, value in certificates.items())
        raise DatabaseUrlError(f"{files}: {error.strerror or error}") from error
    return context


def _is_here(host: str) -> bool:
    """A socket, or this very machine."""
    if host.startswith("/") or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _place(host: str, port: int) -> str:
    if host.startswith("/"):
        return host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
