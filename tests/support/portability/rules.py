"""Do and don't for statements: what PostgreSQL and CockroachDB do not do alike (sql-rules)."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.portability.tree import Node, strings, walk


@dataclass(frozen=True, slots=True)
class Schema:
    """What the rules must know of the tables: (table, column) of every column that may be NULL."""

    nullable: frozenset[tuple[str, str]] = field(default_factory=frozenset)


Rule = Callable[[Node, Schema], Iterator[str]]

REFUSED_STATEMENTS: Mapping[str, str] = {
    "ListenStmt": "LISTEN exists in PostgreSQL only: poll, or wake in the process",
    "NotifyStmt": "NOTIFY exists in PostgreSQL only: poll, or wake in the process",
    "UnlistenStmt": "UNLISTEN exists in PostgreSQL only",
    "MergeStmt": "MERGE is not in CockroachDB: INSERT … ON CONFLICT",
    "CopyStmt": "no COPY in the application: INSERT … SELECT FROM unnest",
    "DeclareCursorStmt": "no cursors: keyset pagination",
    "FetchStmt": "no cursors: keyset pagination",
    "LockStmt": "no table locks: a primary key or a conditional UPDATE guards",
    "CallStmt": "no stored procedures",
    "DoStmt": "no DO blocks",
    "DiscardStmt": "DISCARD is not portable",
}
REFUSED_FUNCTIONS: Mapping[str, str] = {
    "pg_notify": "NOTIFY exists in PostgreSQL only",
    "nextval": "no sequences: UUIDs made by the application",
    "currval": "no sequences",
    "setval": "no sequences",
    "lastval": "no sequences",
    "gen_random_uuid": "keys are made by the application: retries must reuse them",
    "uuid_generate_v4": "an extension; keys are made by the application",
    "uuidv4": "PostgreSQL 18 only; keys are made by the application",
    "uuidv7": "PostgreSQL 18 only; keys are made by the application",
    "txid_current": "PostgreSQL's transaction ids are not portable",
    "pg_current_xact_id": "PostgreSQL's transaction ids are not portable",
    "pg_current_snapshot": "PostgreSQL's snapshots are not portable",
    "make_interval": "CAST(:n AS bigint) * interval '1 second'",
    "date_bin": "not in CockroachDB",
    "websearch_to_tsquery": "not in CockroachDB",
    "unaccent": "an extension",
    "any_value": "not in PostgreSQL 15",
    "array_shuffle": "not in PostgreSQL 15",
    "array_sample": "not in PostgreSQL 15",
}
APPEND_ONLY = frozenset({"audit_log"})
SYSTEM_COLUMNS = frozenset({"ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"})
REFUSED_TYPES = frozenset(
    {"json", "citext", "money", "hstore", "ltree", "xml", "tid", "xid", "cid"}
    | {f"{size}serial" for size in ("", "small", "big")}
    | {f"serial{size}" for size in (2, 4, 8)}
    | {f"{of}range" for of in ("int4", "int8", "num", "ts", "tstz", "date")}
    | {f"{of}multirange" for of in ("int4", "int8", "num", "ts", "tstz", "date")}
)
FRACTIONAL_TYPES = frozenset({"float4", "float8", "numeric"})
# Tables of which every unique constraint is to win, not one: both engines know DO NOTHING without
# a target.
ANY_CONFLICT: Mapping[str, str] = {"payments": "the key was used, or the hold has its payment"}
COMPARISONS = frozenset({"=", "<", ">", "<=", ">="})
WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt"})


def type_name(node: Node) -> str:
    """`int8` for BIGINT, with `[]` for arrays."""
    described = node.body.get("typeName", {})
    if isinstance(described, list):  # CREATE TYPE: a name, not the use of a type
        return ""
    names = strings(described.get("names"))
    return (names[-1] if names else "") + ("[]" if "arrayBounds" in described else "")


def refused_statement(node: Node, _schema: Schema) -> Iterator[str]:
    """LISTEN, MERGE, COPY, DO and the like."""
    if node.kind in REFUSED_STATEMENTS:
        yield REFUSED_STATEMENTS[node.kind]


def refused_function(node: Node, _schema: Schema) -> Iterator[str]:
    """Functions that only one engine has, advisory locks among them."""
    if node.kind != "FuncCall":
        return
    name = strings(node.body["funcname"])[-1]
    if "advisory" in name:
        yield f"{name}: no advisory locks; a lease row"
    elif name in REFUSED_FUNCTIONS:
        yield f"{name}: {REFUSED_FUNCTIONS[name]}"


def append_only(node: Node, _schema: Schema) -> Iterator[str]:
    """What happened stays told: rows of these tables are neither changed nor deleted."""
    if node.kind in {"UpdateStmt", "DeleteStmt", "TruncateStmt"}:
        named = [node.body.get("relation", {}), *relations(node.body.get("relations"))]
        for table in APPEND_ONLY.intersection(one.get("relname", "") for one in named):
            yield f"{table} is append-only"


def relations(listed: Any) -> list[dict[str, Any]]:
    """The tables that TRUNCATE lists."""
    return [item["RangeVar"] for item in listed or ()]


def named_columns(node: Node, _schema: Schema) -> Iterator[str]:
    """Name columns: no `*`, and no INSERT without a list."""
    if node.kind == "ColumnRef" and any("A_Star" in item for item in node.body["fields"]):
        yield "name the columns instead of *"
    if node.kind == "InsertStmt" and "cols" not in node.body:
        yield "name the columns of the INSERT"


def system_columns(node: Node, _schema: Schema) -> Iterator[str]:
    """ctid, xmin and their kin."""
    if node.kind == "ColumnRef":
        for name in set(strings(node.body["fields"])) & SYSTEM_COLUMNS:
            yield f"{name} exists in PostgreSQL only"


def one_plain_arbiter(node: Node, _schema: Schema) -> Iterator[str]:
    """ON CONFLICT names plain columns, with at most a partial WHERE."""
    if node.kind != "InsertStmt" or "onConflictClause" not in node.body:
        return
    infer = node.body["onConflictClause"].get("infer")
    if infer is None and node.body["relation"]["relname"] in ANY_CONFLICT:
        return
    if infer is None:
        yield "ON CONFLICT names its columns: one arbiter"
    elif "conname" in infer:
        yield "ON CONFLICT ON CONSTRAINT is not in CockroachDB: name the columns"
    else:
        for item in infer.get("indexElems", ()):
            if "name" not in item["IndexElem"]:
                yield "an expression as conflict target, such as lower(): store a normalised column"


def no_returning_old_or_new(node: Node, _schema: Schema) -> Iterator[str]:
    """RETURNING old.x is PostgreSQL 18's."""
    if node.kind not in WRITES:
        return
    for item in node.body.get("returningList", ()):
        for inner in walk(Node("ResTarget", item["ResTarget"])):
            if inner.kind == "ColumnRef" and strings(inner.body["fields"])[:1] in (
                ["old"],
                ["new"],
            ):
                yield "RETURNING old or new is PostgreSQL 18's"


def no_grouping_sets(node: Node, _schema: Schema) -> Iterator[str]:
    """ROLLUP, CUBE, GROUPING SETS."""
    if node.kind == "GroupingSet":
        yield "ROLLUP, CUBE and GROUPING SETS are not in CockroachDB"


def keyset_pages(node: Node, _schema: Schema) -> Iterator[str]:
    """No WITH TIES, no OFFSET."""
    if node.kind == "SelectStmt":
        if node.text("limitOption") == "LIMIT_OPTION_WITH_TIES":
            yield "WITH TIES is not in CockroachDB"
        # LIMIT 1 OFFSET n asks for the n-th row; anything more is paging.
        limit = node.body.get("limitCount", {}).get("A_Const", {}).get("ival", {}).get("ival")
        if "limitOffset" in node.body and limit != 1:
            yield "OFFSET reads what it skips: keyset pagination"
    if node.kind == "RangeTableSample":
        yield "TABLESAMPLE is not in CockroachDB"


def locks(node: Node, _schema: Schema) -> Iterator[str]:
    """FOR SHARE is no guard; SKIP LOCKED with ORDER BY and LIMIT starves others on CockroachDB."""
    if node.kind == "LockingClause" and node.text("strength") in {
        "LCS_FORSHARE",
        "LCS_FORKEYSHARE",
    }:
        yield "FOR SHARE does not guard on CockroachDB"
    if node.kind == "SelectStmt" and {"sortClause", "limitCount"} <= node.body.keys():
        for item in node.body.get("lockingClause", ()):
            if item["LockingClause"].get("waitPolicy") == "LockWaitSkip":
                yield "SKIP LOCKED with ORDER BY and LIMIT starves others: a lease row"


def division(node: Node, _schema: Schema) -> Iterator[str]:
    """`/` of integers truncates in PostgreSQL and does not in CockroachDB."""
    if node.kind != "A_Expr" or strings(node.body.get("name")) != ["/"]:
        return
    sides = [node.body[side] for side in ("lexpr", "rexpr") if side in node.body]
    casts = {type_name(Node("TypeCast", s["TypeCast"])) for s in sides if "TypeCast" in s}
    is_fraction = any("fval" in s.get("A_Const", {}) for s in sides)
    if not (casts & FRACTIONAL_TYPES or is_fraction):
        yield "integer division differs: cast a side to float8 or numeric, or divide in Python"


def cast_parameters(node: Node, _schema: Schema) -> Iterator[str]:
    """CockroachDB cannot infer what a bare parameter is."""
    if node.kind != "ParamRef" or node.parent is None or node.parent.kind == "TypeCast":
        return
    # (a, b) IN (($1, $2)) of SQLAlchemy's tuple_(): the columns beside them tell their types.
    is_in = any(around.text("kind") == "AEXPR_IN" for around in node.ancestors())
    if not (is_in and node.parent.kind == "RowExpr"):
        yield f"cast parameter ${node.text('number')}: CAST(:name AS type)"


def refused_types(node: Node, _schema: Schema) -> Iterator[str]:
    """json, citext, serial, ranges, wherever a type is named."""
    name = type_name(node).removesuffix("[]")
    if name in REFUSED_TYPES:
        yield f"type {name} is not portable"


def explicit_nulls(node: Node, schema: Schema) -> Iterator[str]:
    """NULLs come last in PostgreSQL and first in CockroachDB."""
    if node.kind != "SortBy" or node.text("sortby_nulls") != "SORTBY_NULLS_DEFAULT":
        return
    root = [node, *node.ancestors()][-1]
    tables = {n.text("relname") for n in walk(root) if n.kind == "RangeVar"}
    for inner in walk(node):
        if inner.kind != "ColumnRef" or any(a.kind == "CoalesceExpr" for a in inner.ancestors()):
            continue
        column = _column(inner)
        if column not in _known_not_null(root) and any(
            (table, column) in schema.nullable for table in tables
        ):
            yield f"{column} may be NULL: say NULLS FIRST or NULLS LAST"


def _column(node: Node) -> str:
    return (strings(node.body.get("fields")) or [""])[-1]


def _known_not_null(root: Node) -> set[str]:
    """Columns that the WHERE clause keeps from being NULL: IS NOT NULL, or a comparison."""
    return {
        _column(inner)
        for node in walk(root)
        if _excludes_null(node)
        for inner in walk(node)
        if inner.kind == "ColumnRef"
    }


def _excludes_null(node: Node) -> bool:
    is_test = node.text("nulltesttype") == "IS_NOT_NULL"
    is_comparison = (
        node.text("kind") == "AEXPR_OP" and set(strings(node.body.get("name"))) <= COMPARISONS
    )
    around = {a.text("boolop") for a in node.ancestors()} | {a.kind for a in node.ancestors()}
    return (is_test or is_comparison) and not around & {"OR_EXPR", "NOT_EXPR", "ResTarget"}


def one_write_a_table(node: Node, _schema: Schema) -> Iterator[str]:
    """One table modified twice in one statement."""
    if node.parent is not None:
        return
    written = [n.body["relation"]["relname"] for n in walk(node) if n.kind in WRITES]
    for table in sorted({table for table in written if written.count(table) > 1}):
        yield f"{table} is modified twice in one statement"


def local_settings(node: Node, _schema: Schema) -> Iterator[str]:
    """A pooled connection keeps what SET changed: asyncpg does not RESET ALL on CockroachDB."""
    if (
        node.kind == "VariableSetStmt"
        and node.text("name") != "TRANSACTION"
        and node.text("kind") != "VAR_RESET"
        and not node.body.get("is_local")
    ):
        yield "SET LOCAL, or server_settings"


def no_collations(node: Node, _schema: Schema) -> Iterator[str]:
    """Collations have different names."""
    if node.kind == "CollateClause":
        yield "collations differ: store a normalised column"


STATEMENT_RULES: Mapping[str, Rule] = {
    rule.__name__: rule
    for rule in (
        refused_statement,
        refused_function,
        append_only,
        named_columns,
        system_columns,
        one_plain_arbiter,
        no_returning_old_or_new,
        no_grouping_sets,
        keyset_pages,
        locks,
        division,
        cast_parameters,
        refused_types,
        explicit_nulls,
        one_write_a_table,
        local_settings,
        no_collations,
    )
}
