"""Each rule catches its bad example and lets its good one pass; then, our own source."""

import ast
import re

import pytest

from tests.support.places import SOURCE
from tests.support.portability.ddl_rules import schema_of, unindexed_foreign_keys
from tests.support.portability.lint import HOLE, RULES, check, compiled_in, ddl, statements_in
from tests.support.portability.profile import EXEMPT
from tests.support.portability.rules import Schema
from tests.support.portability.tree import parse

TABLE = "CREATE TABLE IF NOT EXISTS t (a UUID PRIMARY KEY, {})"
NULLABLE = Schema(frozenset({("t", "b")}))

# (rule, what it refuses, what it accepts)
EXAMPLES = [
    ("refused_statement", "LISTEN seats", "SELECT a FROM t"),
    ("refused_statement", "NOTIFY seats", "SELECT a FROM t"),
    ("refused_statement", "UNLISTEN seats", "SELECT a FROM t"),
    (
        "refused_statement",
        "MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE",
        "DELETE FROM t USING u WHERE t.a = u.a",
    ),
    ("refused_statement", "COPY t (a) FROM STDIN", "INSERT INTO t (a) SELECT u.a FROM u"),
    ("refused_statement", "DECLARE c CURSOR FOR SELECT a FROM t", "SELECT a FROM t LIMIT 9"),
    ("refused_statement", "FETCH 10 FROM c", "SELECT a FROM t LIMIT 9"),
    ("refused_statement", "LOCK TABLE t", "SELECT a FROM t FOR UPDATE"),
    ("refused_statement", "CALL settle()", "SELECT a FROM t"),
    ("refused_statement", "DO $$ BEGIN END $$", "SELECT a FROM t"),
    ("refused_statement", "DISCARD ALL", "SELECT a FROM t"),
    ("refused_function", "SELECT pg_notify('a', 'b')", "SELECT now()"),
    ("refused_function", "SELECT pg_advisory_xact_lock(1)", "SELECT now()"),
    ("refused_function", "SELECT pg_try_advisory_lock(1)", "SELECT now()"),
    ("refused_function", "SELECT nextval('s')", "SELECT now()"),
    ("refused_function", "INSERT INTO t (a) VALUES (uuidv7())", "INSERT INTO t (a) VALUES (now())"),
    ("refused_function", "SELECT gen_random_uuid()", "SELECT CAST(:a AS uuid)"),
    ("refused_function", "SELECT make_interval(secs => 5)", "SELECT 5 * interval '1 second'"),
    ("refused_function", "SELECT any_value(a) FROM t", "SELECT min(a) FROM t"),
    ("append_only", "UPDATE audit_log SET reason = 'x'", "UPDATE t SET a = 'x'"),
    ("append_only", "DELETE FROM audit_log WHERE reason = 'x'", "DELETE FROM t WHERE a = 'x'"),
    ("append_only", "TRUNCATE t, audit_log", "TRUNCATE t"),
    ("named_columns", "SELECT * FROM t", "SELECT a FROM t"),
    ("named_columns", "SELECT t.* FROM t", "SELECT count(*) FROM t"),
    ("named_columns", "DELETE FROM t RETURNING *", "DELETE FROM t RETURNING a"),
    ("named_columns", "INSERT INTO t VALUES (1)", "INSERT INTO t (a) VALUES (1)"),
    ("system_columns", "SELECT ctid FROM t", "SELECT a FROM t"),
    ("system_columns", "SELECT t.xmin FROM t", "SELECT t.a FROM t"),
    (
        "one_plain_arbiter",
        "INSERT INTO t (a) VALUES (1) ON CONFLICT DO NOTHING",
        "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) DO NOTHING",
    ),
    (
        "one_plain_arbiter",
        "INSERT INTO t (a) VALUES (1) ON CONFLICT ON CONSTRAINT t_pkey DO NOTHING",
        "INSERT INTO t (a) VALUES (1) ON CONFLICT (a) WHERE b IS NULL DO NOTHING",
    ),
    (
        "one_plain_arbiter",
        "INSERT INTO t (a) VALUES ('x') ON CONFLICT (lower(a)) DO NOTHING",
        "INSERT INTO t (a) VALUES ('x') ON CONFLICT (a, b) DO UPDATE SET b = excluded.b",
    ),
    (
        "no_returning_old_or_new",
        "UPDATE t SET a = 1 RETURNING old.a",
        "UPDATE t SET a = 1 RETURNING t.a",
    ),
    (
        "no_grouping_sets",
        "SELECT a, sum(b) FROM t GROUP BY ROLLUP (a)",
        "SELECT a, sum(b) FROM t GROUP BY a",
    ),
    (
        "keyset_pages",
        "SELECT a FROM t ORDER BY a FETCH FIRST 2 ROWS WITH TIES",
        "SELECT a FROM t ORDER BY a LIMIT 2",
    ),
    (
        "keyset_pages",
        "SELECT a FROM t ORDER BY a LIMIT 20 OFFSET 40",
        "SELECT a FROM t ORDER BY a LIMIT 1 OFFSET 4",
    ),
    ("keyset_pages", "SELECT a FROM t TABLESAMPLE system (1)", "SELECT a FROM t"),
    ("locks", "SELECT a FROM t FOR SHARE", "SELECT a FROM t FOR UPDATE"),
    ("locks", "SELECT a FROM t FOR KEY SHARE", "SELECT a FROM t FOR UPDATE"),
    (
        "locks",
        "SELECT a FROM t ORDER BY a LIMIT 1 FOR UPDATE SKIP LOCKED",
        "SELECT a FROM t ORDER BY a LIMIT 1 FOR UPDATE",
    ),
    ("division", "SELECT a / 2 FROM t", "SELECT CAST(a AS float8) / 2 FROM t"),
    ("division", "SELECT sum(a) / count(a) FROM t", "SELECT a / 2.0 FROM t"),
    (
        "cast_parameters",
        "SELECT a FROM t WHERE a = :a",
        "SELECT a FROM t WHERE a = CAST(:a AS uuid)",
    ),
    ("cast_parameters", "SELECT a FROM t LIMIT $1", "SELECT a FROM t LIMIT $1::bigint"),
    (
        "cast_parameters",
        "SELECT a FROM t WHERE a IN (:a)",
        "SELECT a FROM t WHERE (a, b) IN ((:a, :b))",
    ),
    ("refused_types", "SELECT CAST(:a AS json)", "SELECT CAST(:a AS jsonb)"),
    ("refused_types", TABLE.format("b CITEXT"), TABLE.format("b TEXT")),
    ("refused_types", TABLE.format("b BIGSERIAL"), TABLE.format("b BIGINT")),
    ("refused_types", TABLE.format("b TSTZRANGE"), TABLE.format("b TIMESTAMPTZ")),
    ("explicit_nulls", "SELECT a FROM t ORDER BY b", "SELECT a FROM t ORDER BY b NULLS LAST"),
    ("explicit_nulls", "SELECT a FROM t ORDER BY t.b", "SELECT a FROM t ORDER BY a"),
    (
        "explicit_nulls",
        "SELECT array_agg(a ORDER BY b) FROM t",
        "SELECT a FROM t WHERE b IS NOT NULL ORDER BY b",
    ),
    (
        "explicit_nulls",
        "SELECT a FROM t ORDER BY b + 1 DESC",
        "SELECT a FROM t ORDER BY coalesce(b, 0)",
    ),
    (
        "explicit_nulls",
        "SELECT a FROM t WHERE b > 1 OR a = 1 ORDER BY b",
        "SELECT a FROM t WHERE b > 1 AND a = 1 ORDER BY b",
    ),
    (
        "one_write_a_table",
        "WITH x AS (DELETE FROM t RETURNING a) INSERT INTO t (a) SELECT x.a FROM x",
        "WITH x AS (DELETE FROM t RETURNING a) INSERT INTO u (a) SELECT x.a FROM x",
    ),
    ("local_settings", "SET lock_timeout = 5", "SET LOCAL lock_timeout = 5"),
    ("local_settings", "SET lock_timeout = 5", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"),
    ("local_settings", "SET lock_timeout = 5", "RESET lock_timeout"),
    ("no_collations", 'SELECT a FROM t ORDER BY a COLLATE "de_DE"', "SELECT a FROM t ORDER BY a"),
    (
        "refused_ddl",
        "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f()",
        TABLE.format("b TEXT"),
    ),
    (
        "refused_ddl",
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT 1'",
        TABLE.format("b TEXT"),
    ),
    ("refused_ddl", "CREATE EXTENSION citext", TABLE.format("b TEXT")),
    ("refused_ddl", "CREATE RULE r AS ON INSERT TO t DO NOTHING", TABLE.format("b TEXT")),
    (
        "refused_ddl",
        "CREATE TYPE s AS ENUM ('held')",
        TABLE.format("b TEXT NOT NULL CHECK (b IN ('held', 'free'))"),
    ),
    ("refused_ddl", "CREATE DOMAIN d AS TEXT", TABLE.format("b TEXT")),
    ("refused_ddl", "CREATE TYPE c AS (a bigint)", TABLE.format("b JSONB")),
    ("refused_ddl", "CREATE TYPE r AS RANGE (subtype = float8)", TABLE.format("b BIGINT")),
    ("refused_ddl", "CREATE SEQUENCE s", TABLE.format("b UUID")),
    ("refused_ddl", "SET CONSTRAINTS ALL DEFERRED", TABLE.format("b UUID")),
    ("column_types", TABLE.format("total_cents INTEGER"), TABLE.format("total_cents BIGINT")),
    ("column_types", TABLE.format("total_cents NUMERIC"), TABLE.format("prices_cents JSONB")),
    ("column_types", TABLE.format("b VARCHAR(20)"), TABLE.format("b TEXT")),
    ("column_types", TABLE.format("b TIMESTAMP"), TABLE.format("b TIMESTAMPTZ")),
    ("column_types", TABLE.format("b INTEGER"), TABLE.format("b DOUBLE PRECISION")),
    ("column_types", TABLE.format("b CHAR(3)[]"), TABLE.format("b TEXT[]")),
    (
        "constraints",
        TABLE.format("EXCLUDE USING gist (a WITH =)"),
        TABLE.format("b TEXT, UNIQUE (a, b)"),
    ),
    (
        "constraints",
        TABLE.format("b BIGINT GENERATED ALWAYS AS IDENTITY"),
        TABLE.format("b BIGINT NOT NULL"),
    ),
    (
        "constraints",
        TABLE.format("b UUID REFERENCES u (b) DEFERRABLE"),
        TABLE.format("b UUID REFERENCES u (b)"),
    ),
    (
        "constraints",
        TABLE.format("b UUID, UNIQUE (b) DEFERRABLE INITIALLY DEFERRED"),
        TABLE.format("b UUID, UNIQUE (b)"),
    ),
    (
        "constraints",
        TABLE.format("b UUID, UNIQUE NULLS NOT DISTINCT (b)"),
        TABLE.format("b UUID, UNIQUE (b)"),
    ),
    (
        "indexes",
        "CREATE UNIQUE INDEX IF NOT EXISTS i ON t (lower(b))",
        "CREATE UNIQUE INDEX IF NOT EXISTS i ON t (b_norm)",
    ),
    (
        "indexes",
        "CREATE INDEX IF NOT EXISTS i ON t (made_at, a)",
        "CREATE INDEX IF NOT EXISTS i ON t (made_at, a) WHERE sent_at IS NULL",
    ),
    (
        "indexes",
        "CREATE INDEX IF NOT EXISTS i ON t USING gist (b)",
        "CREATE INDEX IF NOT EXISTS i ON t USING gin (b)",
    ),
    (
        "primary_keys",
        "CREATE TABLE IF NOT EXISTS t (a UUID)",
        "CREATE TABLE IF NOT EXISTS t (a UUID PRIMARY KEY)",
    ),
    (
        "primary_keys",
        "CREATE TABLE IF NOT EXISTS t (a UUID, region TEXT, PRIMARY KEY (a, region))",
        "CREATE TABLE IF NOT EXISTS t (a UUID, region TEXT, PRIMARY KEY (region, a))",
    ),
    (
        "primary_keys",
        "CREATE TABLE IF NOT EXISTS t (a UUID, made_at TIMESTAMPTZ, PRIMARY KEY (made_at, a))",
        "CREATE TABLE IF NOT EXISTS t (a UUID, made_at TIMESTAMPTZ, PRIMARY KEY (a, made_at))",
    ),
    (
        "plain_tables",
        "CREATE TABLE IF NOT EXISTS t (a TEXT PRIMARY KEY) PARTITION BY LIST (a)",
        "CREATE TABLE IF NOT EXISTS t (a TEXT PRIMARY KEY)",
    ),
    ("plain_tables", "CREATE TEMPORARY TABLE t (a TEXT PRIMARY KEY)", TABLE.format("b TEXT")),
    ("plain_tables", "CREATE TABLE t (a TEXT PRIMARY KEY) INHERITS (u)", TABLE.format("b TEXT")),
    ("idempotent", "CREATE TABLE t (a UUID PRIMARY KEY)", TABLE.format("b TEXT")),
    ("idempotent", "CREATE INDEX i ON t (a)", "CREATE INDEX IF NOT EXISTS i ON t (a)"),
    ("idempotent", "DROP TABLE t", "DROP TABLE IF EXISTS t"),
    (
        "idempotent",
        "ALTER TABLE t ADD COLUMN b TEXT",
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS b TEXT",
    ),
    (
        "idempotent",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)",
        TABLE.format("b BIGINT CHECK (b > 0)"),
    ),
]


@pytest.mark.parametrize(("rule", "bad", "good"), EXAMPLES)
def test_the_bad_example_is_caught_and_the_good_one_passes(rule: str, bad: str, good: str) -> None:
    assert rule in {finding.rule for finding in check(bad, NULLABLE)}
    assert [str(finding) for finding in check(good, NULLABLE)] == []


def test_every_rule_has_an_example() -> None:
    assert {rule for rule, _, _ in EXAMPLES} == set(RULES)


def test_two_statements_at_once_and_broken_ones_are_findings() -> None:
    assert [f.rule for f in check("SELECT a FROM t; SELECT b FROM t")] == ["one_statement"]
    assert [f.rule for f in check("SELECT FROM WHERE")] == ["grammar"]


def test_what_may_be_null_is_read_from_the_ddl() -> None:
    [table] = parse(TABLE.format("b TEXT, c TEXT NOT NULL, d TEXT, PRIMARY KEY (a, d)"))
    assert schema_of([table]).nullable == {("t", "b")}


def test_a_foreign_key_needs_an_index_that_begins_with_it() -> None:
    table = parse(TABLE.format("b UUID REFERENCES u (b), c UUID UNIQUE REFERENCES u (c)"))
    assert unindexed_foreign_keys(table) == ["t(b) references another table and has no index"]
    index = parse("CREATE INDEX IF NOT EXISTS i ON t (b, a)")
    assert unindexed_foreign_keys([*table, *index]) == []
    compound = parse(
        "CREATE TABLE IF NOT EXISTS v (a UUID, b UUID, c UUID, PRIMARY KEY (a, b),"
        " UNIQUE (b, c), FOREIGN KEY (a, b) REFERENCES t (a, b),"
        " FOREIGN KEY (b, c) REFERENCES t (b, c), FOREIGN KEY (c) REFERENCES t (c))"
    )
    assert unindexed_foreign_keys(compound) == ["v(c) references another table and has no index"]


def test_our_own_sql_runs_on_both_engines() -> None:
    written, built = statements_in(SOURCE), compiled_in(SOURCE)
    assert written, "the linter no longer finds our SQL"
    assert built, "the linter no longer finds compiled statements"
    statements = [*written, *built]
    schema = schema_of(ddl(written))
    findings = [
        f"{statement.place} {finding}"
        for statement in statements
        if statement.sql not in EXEMPT
        for finding in check(statement.sql, schema)
        # A part of a text: its parameters get their types where it is put together.
        if not (finding.rule == "cast_parameters" and HOLE in statement.sql)
    ]
    assert not findings, "\n".join(findings)


def test_our_own_foreign_keys_are_indexed() -> None:
    for service in SOURCE.iterdir():
        if (service / "migrations").is_dir():
            assert unindexed_foreign_keys(ddl(statements_in(service))) == []


def test_no_driver_feature_is_used_that_only_one_engine_has() -> None:
    refused = re.compile(r"\b(add_listener|copy_records_to_table|copy_to_table)\b")
    users = [path.name for path in SOURCE.rglob("*.py") if refused.search(path.read_text())]
    assert users == []


def test_no_statement_is_compiled_while_a_request_runs() -> None:
    """At module level, or in a function of the request's filters with a cache."""
    found = [
        f"{path.relative_to(SOURCE)}:{call.lineno}"
        for path in SOURCE.rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.AsyncFunctionDef)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in {"compiled", "text"}
    ]
    assert found == []
