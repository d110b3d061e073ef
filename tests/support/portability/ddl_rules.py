"""Do and don't for DDL: types, constraints, keys, indexes, idempotence (sql-rules)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.support.portability.rules import Rule, Schema, type_name
from tests.support.portability.tree import Node, strings, walk

COLUMN_TYPES = frozenset({"uuid", "text", "int8", "bool", "timestamptz", "jsonb", "bytea", "date"})
# Coordinates and ratings; never money.
FRACTIONAL_COLUMN_TYPES = frozenset({"float8"})
REFUSED_DDL: Mapping[str, str] = {
    "CreateTrigStmt": "no triggers",
    "CreateEventTrigStmt": "no triggers",
    "CreateFunctionStmt": "no stored functions",
    "CreateExtensionStmt": "no extensions",
    "RuleStmt": "no rules",
    "CreateEnumStmt": "no native enums: TEXT with CHECK",
    "AlterEnumStmt": "no native enums: TEXT with CHECK",
    "CreateDomainStmt": "no domains: TEXT with CHECK",
    "CompositeTypeStmt": "no composite types",
    "CreateRangeStmt": "no range types",
    "CreateSeqStmt": "no sequences: UUIDs made by the application",
    "AlterSeqStmt": "no sequences",
    "ConstraintsSetStmt": "no deferrable constraints",
}
REFUSED_CONSTRAINTS: Mapping[str, str] = {
    "CONSTR_EXCLUSION": "EXCLUDE exists in PostgreSQL only",
    "CONSTR_IDENTITY": "IDENTITY: keys are UUIDs made by the application",
    "CONSTR_ATTR_DEFERRABLE": "DEFERRABLE exists in PostgreSQL only",
    "CONSTR_ATTR_DEFERRED": "DEFERRABLE exists in PostgreSQL only",
}

REPEATABLE_ALTERATIONS = frozenset({"AT_AddColumn", "AT_DropColumn", "AT_DropConstraint"})


def refused_ddl(node: Node, _schema: Schema) -> Iterator[str]:
    """Triggers, functions, extensions, enums, domains, sequences."""
    if node.kind in REFUSED_DDL:
        yield REFUSED_DDL[node.kind]


def column_types(node: Node, _schema: Schema) -> Iterator[str]:
    """BIGINT, TEXT, TIMESTAMPTZ, JSONB, BOOLEAN, BYTEA, UUID; money is BIGINT minor units."""
    if node.kind != "ColumnDef" or "typeName" not in node.body:
        return
    name, column = type_name(node), node.text("colname")
    if column.endswith("_cents") and name.removesuffix("[]") not in {"int8", "jsonb"}:
        yield f"{column} is {name}: money is BIGINT minor units"
    elif name.removesuffix("[]") not in COLUMN_TYPES | FRACTIONAL_COLUMN_TYPES:
        yield f"{column} is {name}: use one of {', '.join(sorted(COLUMN_TYPES))}"


def constraints(node: Node, _schema: Schema) -> Iterator[str]:
    """EXCLUDE, IDENTITY, DEFERRABLE, NULLS NOT DISTINCT."""
    if node.kind == "Constraint":
        if node.text("contype") in REFUSED_CONSTRAINTS:
            yield REFUSED_CONSTRAINTS[node.text("contype")]
        if node.body.get("deferrable"):
            yield REFUSED_CONSTRAINTS["CONSTR_ATTR_DEFERRABLE"]
    if node.kind in {"Constraint", "IndexStmt"} and node.body.get("nulls_not_distinct"):
        yield "NULLS NOT DISTINCT is not in CockroachDB"


def indexes(node: Node, _schema: Schema) -> Iterator[str]:
    """No unique expressions, no index that leads with a timestamp: its end is one hot range."""
    if node.kind != "IndexStmt":
        return
    elements = [item["IndexElem"] for item in node.body["indexParams"]]
    if node.body.get("unique") and any("expr" in element for element in elements):
        yield "a unique expression such as lower(): store a normalised column"
    # A partial index holds only rows in passing: it stays small enough to be in one range.
    if elements[0].get("name", "").endswith("_at") and "whereClause" not in node.body:
        yield f"the index leads with the timestamp {elements[0]['name']}"
    if node.text("accessMethod") not in {"btree", "gin"}:
        yield f"{node.text('accessMethod')} indexes are not in CockroachDB"


def primary_keys(node: Node, _schema: Schema) -> Iterator[str]:
    """Each table has one; `region` leads it; it never leads with a timestamp."""
    if node.kind != "CreateStmt":
        return
    key = primary_key(node)
    if not key:
        yield f"{node.body['relation']['relname']} has no primary key"
    elif "region" in key[1:]:
        yield "region leads the primary key, so that it can be partitioned by it"
    elif key[0].endswith("_at"):
        yield f"the primary key leads with the timestamp {key[0]}"


def plain_tables(node: Node, _schema: Schema) -> Iterator[str]:
    """Partitioning, inheritance and temporary tables belong in the dialect module, or nowhere."""
    if node.kind != "CreateStmt":
        return
    if "partspec" in node.body or "inhRelations" in node.body:
        yield "PARTITION and INHERITS differ: the dialect module"
    if node.body["relation"].get("relpersistence") != "p":
        yield "temporary and unlogged tables are not portable"


def idempotent(node: Node, _schema: Schema) -> Iterator[str]:
    """DDL commits by itself: a migration that was interrupted runs again."""
    if node.kind in {"CreateStmt", "IndexStmt"} and not node.body.get("if_not_exists"):
        yield "CREATE … IF NOT EXISTS"
    if node.kind == "DropStmt" and not node.body.get("missing_ok"):
        yield "DROP … IF EXISTS"
    if node.kind == "AlterTableCmd":
        subtype = node.text("subtype")
        if subtype in REPEATABLE_ALTERATIONS and not node.body.get("missing_ok"):
            yield "ALTER TABLE … IF [NOT] EXISTS"
        if subtype == "AT_AddConstraint":
            yield "ADD CONSTRAINT cannot be repeated on PostgreSQL: put it in CREATE TABLE"


DDL_RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (
        refused_ddl,
        column_types,
        constraints,
        indexes,
        primary_keys,
        plain_tables,
        idempotent,
    )
}


def columns(table: Node) -> dict[str, Sequence[dict[str, Any]]]:
    """The columns of a CREATE TABLE with their constraints."""
    return {
        item["ColumnDef"]["colname"]: [
            c["Constraint"] for c in item["ColumnDef"].get("constraints", ())
        ]
        for item in table.body.get("tableElts", ())
        if "ColumnDef" in item
    }


def primary_key(table: Node) -> list[str]:
    """Its columns in order."""
    for item in table.body.get("tableElts", ()):
        if item.get("Constraint", {}).get("contype") == "CONSTR_PRIMARY":
            return strings(item["Constraint"]["keys"])
    return [c for c, found in columns(table).items() if _has(found, "CONSTR_PRIMARY")]


def schema_of(statements: Sequence[Node]) -> Schema:
    """What may be NULL in the tables that these statements create."""
    nullable = {
        (table.body["relation"]["relname"], column)
        for table in statements
        if table.kind == "CreateStmt"
        for column, found in columns(table).items()
        if not _has(found, "CONSTR_NOTNULL", "CONSTR_PRIMARY") and column not in primary_key(table)
    }
    return Schema(frozenset(nullable))


def unindexed_foreign_keys(statements: Sequence[Node]) -> list[str]:
    """Neither engine indexes the referencing side: a delete of the parent would scan the child."""
    return [
        f"{table}({', '.join(key)}) references another table and has no index"
        for table, key in _foreign_keys(statements)
        if not any(index[: len(key)] == key for index in _indexes(statements, table))
    ]


def _has(found: Sequence[dict[str, Any]], *kinds: str) -> bool:
    return any(constraint["contype"] in kinds for constraint in found)


def _foreign_keys(statements: Sequence[Node]) -> Iterator[tuple[str, list[str]]]:
    for table in (s for s in statements if s.kind == "CreateStmt"):
        name = table.body["relation"]["relname"]
        for column, found in columns(table).items():
            if _has(found, "CONSTR_FOREIGN"):
                yield name, [column]
        for node in walk(table):
            if node.kind == "Constraint" and "fk_attrs" in node.body:
                yield name, strings(node.body["fk_attrs"])


def _indexes(statements: Sequence[Node], table: str) -> Iterator[list[str]]:
    for statement in statements:
        if statement.body.get("relation", {}).get("relname") != table:
            continue
        if statement.kind == "IndexStmt":
            yield [i["IndexElem"].get("name", "") for i in statement.body["indexParams"]]
        if statement.kind == "CreateStmt":
            yield from _keys(statement)


def _keys(table: Node) -> Iterator[list[str]]:
    yield primary_key(table)
    yield from ([c] for c, found in columns(table).items() if _has(found, "CONSTR_UNIQUE"))
    for node in walk(table):
        if node.text("contype") == "CONSTR_UNIQUE" and "keys" in node.body:
            yield strings(node.body["keys"])
