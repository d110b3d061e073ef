"""SQL statements: written once, compiled once when their module is imported, run by asyncpg.

A store module builds its statements at module level and its functions run them (ADR 21):

    FIND = compiled(
        select(bookings.c.seats, bookings.c.state)
        .where(bookings.c.region == bindparam("region"), any_of(bookings.c.booking_id, "ids"))
        .limit(bindparam("limit", type_=BigInteger))
    )
    rows = await tx.execute(FIND, {"region": region, "ids": ids, "limit": 10})

- SQLAlchemy Core over `tables.py` is the default. A value is a `bindparam("name")`; it takes its
  type from the column beside it, else from `type_`. PostgreSQL and CockroachDB see `$1::UUID`.
- A constant (`bookings.c.state == State.HELD`, `.limit(1)`) becomes part of the SQL, so that a
  partial index on it serves every plan.
- `text` is for what Core cannot say, and for statements that are clearer in SQL. Its binds have
  their types from the tables and batches named after it, or from keywords:

    PROLONG = text(
        "UPDATE booking_seats SET held_until = :held_until FROM :claims"
        " WHERE booking_seats.region = claims.region AND booking_seats.seat = claims.seat",
        booking_seats,
        CLAIMS,
    )

- Many rows go in as one `batch` (`bulk.py`).
- A condition that depends on a request makes a statement of its own: a function of the condition
  builds it, under `functools.cache`.
- JSONB goes in as JSON text and comes out decoded. An interval is a `timedelta`
  (`bindparam("pause", type_=Interval)`).
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any

import sqlalchemy
from sqlalchemy import BindParameter, FromClause, String, Table, TextClause, bindparam
from sqlalchemy.dialects.postgresql import asyncpg as asyncpg_dialect
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.types import NullType, TypeEngine

STATEMENTS_MAX = 2_000
RETURNS_ROWS = re.compile(r"\A\s*(SELECT|WITH|SHOW)\b|\bRETURNING\b", re.IGNORECASE)
# SQLAlchemy's own rule for what is a bind in a text(): not a `::cast`, not escaped.
BIND = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")
# Between the name of a batch and that of its column, in the name of a bind.
BATCH_SEPARATOR = "__"

Type = TypeEngine[Any] | type[TypeEngine[Any]]


class _Compiler(asyncpg_dialect.PGCompiler_asyncpg):
    """Binds without a value are parameters; binds with a value are literals."""

    def visit_bindparam(  # type: ignore[override]  # the rest as SQLAlchemy passes it
        self,
        bindparam: BindParameter[Any],
        within_columns_clause: bool = False,  # noqa: FBT001, FBT002
        literal_binds: bool = False,  # noqa: FBT001, FBT002
        **kwargs: Any,
    ) -> str:
        return super().visit_bindparam(  # type: ignore[no-untyped-call, no-any-return]
            bindparam, within_columns_clause, literal_binds or not bindparam.required, **kwargs
        )

    def render_bind_cast(self, type_: Any, dbapi_type: Any, sqltext: str) -> str:
        if isinstance(dbapi_type, String):  # SQLAlchemy says VARCHAR for TEXT
            return f"{sqltext}::TEXT"
        return super().render_bind_cast(type_, dbapi_type, sqltext)  # type: ignore[no-untyped-call, no-any-return]


class _Dialect(asyncpg_dialect.dialect):
    statement_compiler = _Compiler
    supports_statement_cache = True


DIALECT = _Dialect()  # type: ignore[no-untyped-call]
_NAMED = PGDialect(paramstyle="named")  # type: ignore[no-untyped-call]


@dataclass(frozen=True, slots=True)
class Bind:
    """A parameter by name. A batch fills as many places as it has columns."""

    name: str
    columns: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL with `$n` parameters, and what fills them in that order."""

    sql: str
    binds: Sequence[Bind]
    names: Sequence[str]  # of the binds, when none of them is a batch
    returns_rows: bool

    def arguments(self, parameters: Mapping[str, Any] | None) -> Sequence[Any]:
        """The values for `$1`, `$2`, …. Raises KeyError for one that is missing."""
        if parameters is None:
            parameters = {}
        if len(self.names) == len(self.binds):
            return [parameters[name] for name in self.names]
        values: list[Any] = []
        for bind in self.binds:
            if bind.columns:
                values += arrays(parameters[bind.name], bind.columns)
            else:
                values.append(parameters[bind.name])
        return values


def compiled(construct: ClauseElement) -> Statement:
    """A Core construct as asyncpg runs it. Raises SQLAlchemyError for one that cannot be compiled,
    such as an `in_()` of a parameter (that is `any_of`), and TypeError for a parameter whose type
    is not known.
    """
    result = construct.compile(dialect=DIALECT, compile_kwargs={"render_postcompile": True})
    if isinstance(result, SQLCompiler) and not isinstance(construct, TextClause):
        for bind in result.bind_names:
            if bind.required and isinstance(bind.type, NullType):
                raise TypeError(f"say bindparam({bind.key!r}, type_=…) in: {result}")
    sql = str(result)
    binds = tuple(_binds(getattr(result, "positiontup", None) or ()))
    return Statement(
        sql,
        binds,
        names=tuple(bind.name for bind in binds if not bind.columns),
        returns_rows=RETURNS_ROWS.search(sql) is not None,
    )


def binds(*names: str) -> dict[str, BindParameter[Any]]:
    """Parameters with the names of columns, for `.values()` of an INSERT or UPDATE."""
    return {name: bindparam(name) for name in names}


@lru_cache(STATEMENTS_MAX)
def text(sql: str, *sources: FromClause, **types: Type) -> Statement:
    """SQL with `:name` binds, whose types are those of the columns of `sources`, or in `types`.

    The name of a batch among `sources` stands for the batch. A bind whose type is not known is left
    as it is: the SQL around it casts it.
    """
    columns: dict[str, Type] = {}
    for source in sources:
        if isinstance(source, Table):
            columns = {**{column.name: column.type for column in source.c}, **columns}
        else:
            sql = re.sub(rf"(?<![:\w\\]):{_name(source)}\b", _from(source), sql)
            columns |= {bind.key: bind.type for bind in _parameters(source)}
    known = columns | types
    names = set(BIND.findall(sql))
    if unknown := types.keys() - names:
        raise ValueError(f"no bind is named {', '.join(sorted(unknown))}: {sql}")
    binds = [bindparam(name, type_=known[name]) for name in sorted(names & known.keys())]
    return compiled(sqlalchemy.text(sql).bindparams(*binds))


def arrays(rows: Sequence[Any], columns: Sequence[str]) -> list[Sequence[Any]]:
    """The arrays that `unnest` makes rows of. A row is a tuple in the order of the columns, a
    mapping, or an object with attributes of their names.
    """
    if not rows:
        return [()] * len(columns)
    first, *_ = rows
    if isinstance(first, tuple):
        found: list[Sequence[Any]] = list(zip(*rows, strict=True))
        if len(found) != len(columns):
            raise ValueError(f"{len(found)} values a row for {', '.join(columns)}")
        return found
    getter = itemgetter if isinstance(first, Mapping) else attrgetter
    return [list(map(getter(column), rows)) for column in columns]


def _binds(positions: Sequence[str]) -> Iterator[Bind]:
    """`claims__region`, `claims__seat` as one Bind: SQLAlchemy leaves the columns in order."""
    for batch, names in itertools.groupby(positions, lambda name: _split(name)[0]):
        columns = [_split(name)[1] for name in names]
        if columns == [""]:
            yield Bind(batch)
        else:
            yield Bind(batch, columns)


def _split(name: str) -> tuple[str, str]:
    batch, _, column = name.partition(BATCH_SEPARATOR)
    return batch, column


def _name(source: FromClause) -> str:
    return str(getattr(source, "name"))  # noqa: B009 typed in its subclasses only


def _from(batch: FromClause) -> str:
    """How a FROM clause names it, with the binds of a text."""
    return str(batch.compile(dialect=_NAMED, compile_kwargs={"asfrom": True}))


def _parameters(batch: FromClause) -> Iterator[BindParameter[Any]]:
    for element in sqlalchemy.sql.visitors.iterate(batch):
        if isinstance(element, BindParameter):
            yield element
