"""The SQL linter: every rule over every statement, found in the source or recorded in a run."""

import ast
import importlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pgparse

from cinesync.chassis import database
from tests.support.portability.ddl_rules import DDL_RULES
from tests.support.portability.rules import STATEMENT_RULES, Schema
from tests.support.portability.tree import Node, parse, walk

RULES = {**STATEMENT_RULES, **DDL_RULES}
BEGINNING = re.compile(
    r"(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH|CREATE|ALTER|DROP|MERGE|LISTEN|NOTIFY|SET|DO"
    r"|LOCK|COPY|TRUNCATE|CALL)"
)
STATEMENT = re.compile(rf"\s*{BEGINNING.pattern}\s")
# The fake bank is somebody else's computer, and keeps its books in SQLite; so does each validator.
SQLITE = re.compile(
    r"(^|/)(bank/.*|audit/entry_index|payment/reconciliation/statement_index|backup/.*|validator/.*)\.py$"
)
# What stands for an interpolated part, so that the statement around it can be parsed.
HOLE = "put_together_at_run_time"


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a statement breaks."""

    rule: str
    complaint: str
    sql: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.complaint}\n    {' '.join(self.sql.split())}"


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and where in the source it stands."""

    sql: str
    place: str


def check(sql: str, schema: Schema | None = None) -> list[Finding]:
    """Every broken rule of `sql`; a statement that PostgreSQL cannot parse is a finding too."""
    try:
        statements = parse(sql)
    except pgparse.PGQueryError as error:
        # A statement put together at run time is seen when it runs (recorder.py).
        return [] if HOLE in sql else [Finding("grammar", str(error), sql)]
    findings = [
        Finding(name, complaint, sql)
        for statement in statements
        for node in walk(statement)
        for name, rule in RULES.items()
        for complaint in rule(node, schema or Schema())
    ]
    if len(statements) > 1:
        findings.append(Finding("one_statement", "one statement at a time", sql))
    return findings


def statements_in(folder: Path) -> list[Statement]:
    """The SQL written out in the Python files below `folder`."""
    sources = (
        (path, path.read_text())
        for path in sorted(folder.rglob("*.py"))
        if not SQLITE.search(path.as_posix())
    )
    return [
        Statement(sql, f"{path.relative_to(folder)}:{line}")
        for path, source in sources
        if BEGINNING.search(source)  # to parse the others takes three times as long
        for sql, line in _sql_texts(ast.parse(source))
    ]


def compiled_in(folder: Path) -> list[Statement]:
    """The compiled statements that the modules below `folder`, a package, have at module level."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        if re.search(r"\b(compiled|text)\(", path.read_text()) and not SQLITE.search(
            path.as_posix()
        ):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            module = importlib.import_module(".".join(parts))
            found += [
                Statement(value.sql, f"{path.relative_to(folder)}:{name}")
                for name, value in vars(module).items()
                if isinstance(value, database.Statement)
            ]
    return found


def ddl(statements: list[Statement]) -> list[Node]:
    """The parsed DDL among `statements`."""
    found: list[Node] = []
    for statement in statements:
        if re.match(r"\s*(CREATE|ALTER)\s", statement.sql):
            found += parse(statement.sql)
    return found


def _sql_texts(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Literals that begin like SQL, and whatever is given to text() or execute()."""
    nodes = list(ast.walk(tree))
    inner = {id(part) for n in nodes if isinstance(n, ast.JoinedStr) for part in n.values}
    inner |= _docstrings(nodes) | _in_concatenations(nodes) | _in_typed_texts(nodes)
    for node in nodes:
        if id(node) not in inner and isinstance(node, ast.expr):
            sql = _literal(node)
            if sql is not None and STATEMENT.match(sql) and _looks_complete(sql):
                yield sql, node.lineno


def _literal(node: ast.expr) -> str | None:
    """The text of a literal, an f-string or a concatenation of them."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(_literal(part) or HOLE for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            sides = _literal(left), _literal(right)
            return None if sides == (None, None) else "".join(side or HOLE for side in sides)
    return None


def _in_concatenations(nodes: Sequence[ast.AST]) -> set[int]:
    concatenations = [n for n in nodes if isinstance(n, ast.BinOp) and _literal(n)]
    return {id(inner) for n in concatenations for inner in ast.walk(n) if inner is not n}


def _in_typed_texts(nodes: Sequence[ast.AST]) -> set[int]:
    """Texts whose binds and batches `text()` fills in: `compiled_in` has the SQL that goes out."""
    typed = [
        node.args[0]
        for node in nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "text"
        and len(node.args) + len(node.keywords) > 1
    ]
    return {id(inner) for sql in typed for inner in ast.walk(sql)}


def _docstrings(nodes: Sequence[ast.AST]) -> set[int]:
    return {
        id(node.body[0].value)
        for node in nodes
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }


def _looks_complete(sql: str) -> bool:
    """Prose may begin with UPDATE or SET as well; SQL of one word does not exist."""
    return len(sql.split()) > 1
