"""Many rows in one statement: `unnest` of one array a column (sql-rules 8).

    CLAIMS = batch(
        "claims",
        booking_seats.c.region,
        booking_seats.c.show_id,
        booking_seats.c.seat,
        booking_seats.c.booking_id,
    )
    INSERT = compiled(
        insert_from(booking_seats, CLAIMS, state="held", held_until=bindparam("until"))
        .on_conflict_do_nothing(index_elements=list(booking_seats.primary_key))
        .returning(booking_seats.c.seat)
    )
    FREE = compiled(delete(booking_seats).where(matches(booking_seats, CLAIMS)))

    await tx.execute(INSERT, {"claims": sorted(claims), "until": until})

A batch is a FROM clause: Core joins its columns (`CLAIMS.c.seat`), a text names it
(`FROM :claims`). Its parameter is a sequence of rows, sorted and without doubles: tuples in the
order of the columns, mappings, or objects with attributes of their names. A column that has another
name in its table is labelled: `bookings.c.refund_cents.label("amount_cents")`; one that is in no
table is `column("position", BigInteger)`. JSONB goes in as JSON text: CockroachDB has no `jsonb[]`.
"""

from typing import Any

from sqlalchemy import (
    ARRAY,
    JSON,
    BindParameter,
    ColumnElement,
    FromClause,
    Table,
    Text,
    and_,
    any_,
    bindparam,
    cast,
    column,
    func,
    literal,
    select,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.types import NullType, TypeEngine

from cinesync.chassis.database.statements import BATCH_SEPARATOR


def batch(name: str, *columns: ColumnElement[Any]) -> FromClause:
    """A FROM clause of as many rows as its parameter `name` has, with these columns."""
    names = [_name(each) for each in columns]
    element_types = [Text() if isinstance(each.type, JSON) else each.type for each in columns]
    arrays = [
        bindparam(f"{name}{BATCH_SEPARATOR}{key}", type_=ARRAY(type_))
        for key, type_ in zip(names, element_types, strict=True)
    ]
    fields: list[ColumnElement[Any]] = [
        column(key, type_) for key, type_ in zip(names, element_types, strict=True)
    ]
    rows = func.unnest(*arrays).table_valued(*fields).render_derived(name=name)
    if not any(isinstance(each.type, JSON) for each in columns):
        return rows
    return select(
        *(
            cast(rows.c[key], each.type).label(key) if isinstance(each.type, JSON) else rows.c[key]
            for key, each in zip(names, columns, strict=True)
        )
    ).subquery(name)


def insert_from(table: Table, rows: FromClause, **values: Any) -> Insert:
    """INSERT INTO `table` SELECT every column of the batch `rows`, and `values` (constants or SQL
    expressions) in each row. Add `.on_conflict_do_…()` and `.returning()` as needed.
    """
    others = [_value(value, table.c[key].type) for key, value in values.items()]
    return insert(table).from_select([*rows.c.keys(), *values], select(*rows.c, *others))


def matches(table: Table, rows: FromClause) -> ColumnElement[bool]:
    """The rows of `table` with the primary key of a row of the batch `rows`."""
    return and_(*(key == rows.c[key.name] for key in table.primary_key))


def any_of(of: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """The column is one of the values in the parameter `name`: a list of any length."""
    return of == any_(bindparam(name, type_=ARRAY(of.type)))


def _value(value: object, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    if isinstance(value, BindParameter) and isinstance(value.type, NullType):
        return bindparam(value.key, type_=type_)
    return value if isinstance(value, ColumnElement) else literal(value, type_)


def _name(of: ColumnElement[Any]) -> str:
    key = str(getattr(of, "name", ""))
    if not key or BATCH_SEPARATOR in key:
        raise ValueError(f"a batch cannot have a column of this name: {of}")
    return key
